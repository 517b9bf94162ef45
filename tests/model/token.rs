//! T4 to T6: for how long a token is fresh, stale, and of use. Times are in milliseconds.

use crate::{budget::Unit, model::Model, twist::Twist};

/// A token that the layer obtained.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// Its number at the token endpoint, which may give one out again.
    pub(crate) text: u64,
    /// When it was asked for: from then on it lives.
    pub(crate) born: u64,
    pub(crate) came: u64,
    pub(crate) lifetime: Option<u64>,
    /// The secret in use when its fetch began.
    pub(crate) generation: u64,
    /// Not used, unless the fetch of its successor fails.
    pub(crate) retired: bool,
    /// What its fetch took from the budget.
    pub(crate) unit: Option<Unit>,
    pub(crate) first_accepted: Option<u64>,
    /// Whether the first replay with it was accepted.
    pub(crate) first_replay: Option<bool>,
    /// When a rejection of it caused a fetch.
    pub(crate) renewed_at: Option<u64>,
    /// A request that was sent after that was accepted with it.
    pub(crate) contradicted: bool,
}

impl Token {
    /// Until its end; `None` if its server set none.
    pub(crate) fn ends_in(&self, now: u64) -> Option<u64> {
        self.lifetime.map(|lifetime| (self.born + lifetime).saturating_sub(now))
    }
}

impl Model<'_> {
    fn lifetime(&self, token: &Token) -> u64 {
        token.lifetime.unwrap_or(self.history.settings.default_lifetime)
    }

    /// Rounded up to a whole millisecond, since no call is made in between.
    pub(crate) fn usable_until(&self, token: &Token) -> u64 {
        let lifetime = self.lifetime(token);
        let margin = (lifetime / 10).min(self.history.settings.expiry_margin);
        let margin = if self.twist == Some(Twist::NoMargin) { 0 } else { margin };
        let least = if self.twist == Some(Twist::NoSecondOfUse) { 0 } else { token.came + SECOND };
        (token.born + lifetime - margin).max(least)
    }

    pub(crate) fn stale_from(&self, token: &Token) -> u64 {
        let age = (self.lifetime(token) * self.history.settings.refresh_at).div_ceil(100);
        let least = if self.twist == Some(Twist::StaleWithinASecond) { 0 } else { token.came + SECOND };
        (token.born + age).max(least).min(self.usable_until(token))
    }
}

/// T6: whatever its lifetime, a token is used for so long.
const SECOND: u64 = 1_000;

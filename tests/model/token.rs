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
    /// What is left of a token's lifetime when it comes.
    fn life(&self, token: &Token) -> u64 {
        let left = token.ends_in(token.came);
        left.unwrap_or(self.history.settings.default_lifetime)
    }

    /// Rounded up to a whole millisecond, since nobody looks in between.
    pub(crate) fn usable_until(&self, token: &Token) -> u64 {
        let life = self.life(token);
        let margin = (life / 10).min(self.history.settings.expiry_margin);
        let life = if self.twist == Some(Twist::NoMargin) { life } else { life - margin };
        let least = if self.twist == Some(Twist::NoSecondOfUse) { 0 } else { SECOND };
        token.came + life.max(least)
    }

    pub(crate) fn stale_from(&self, token: &Token) -> u64 {
        let age = (self.life(token) * self.history.settings.refresh_at).div_ceil(100);
        let least = if self.twist == Some(Twist::StaleWithinASecond) { 0 } else { SECOND };
        (token.came + age.max(least)).min(self.usable_until(token))
    }
}

/// T6: whatever its lifetime, a token is used for so long.
const SECOND: u64 = 1_000;

//! T4 to T6 in plain words: how long a token is young, old, and of use. Times are in milliseconds.

use crate::{model::Model, twist::Twist};

/// A token that the layer obtained.
#[expect(clippy::struct_excessive_bools, reason = "plain facts, each of them true or not")]
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// Its number at the token endpoint, which may give one out again.
    pub(crate) text: u64,
    /// When it was asked for: from then on it lives.
    pub(crate) born: u64,
    pub(crate) came: u64,
    pub(crate) lifetime: Option<u64>,
    /// The secret in use when its flight began.
    pub(crate) generation: u64,
    /// Somebody whose token was rejected waited for it.
    pub(crate) renewal: bool,
    /// A request was accepted with it.
    pub(crate) accepted: bool,
    /// A request that was sent again with it got neither a yes nor a no.
    pub(crate) answered: bool,
    /// It is known whether it healed.
    pub(crate) judged: bool,
    pub(crate) retired: bool,
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
        token.came + if self.twist == Some(Twist::NoMargin) { life } else { life - margin }
    }

    pub(crate) fn aging_from(&self, token: &Token) -> u64 {
        let age = (self.life(token) * self.history.settings.refresh_at).div_ceil(100);
        (token.came + age).min(self.usable_until(token))
    }
}

//! R5 in plain words: when a renewal has not healed, and how long the next then has to wait.

use crate::{model::Model, twist::Twist};

/// The spacing.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    until: u64,
    /// Renewals in a row that did not heal.
    unhealed: u32,
    /// The API accepts somebody: what does not heal is one caller's trouble.
    somebody: bool,
    last_rejection: Option<u64>,
    /// Somebody was accepted with the token that was retired last.
    pub(crate) retired_was_accepted: bool,
}

impl Storm {
    pub(crate) fn runs(&self, now: u64) -> bool {
        now < self.until
    }

    fn end(&mut self) {
        self.until = 0;
        self.unhealed = 0;
    }
}

impl Model<'_> {
    pub(crate) fn note_rejection(&mut self) {
        let quiet = self.storm.last_rejection.is_some_and(|last| self.now - last >= 60_000);
        if quiet && self.storm.somebody && self.twist != Some(Twist::NeverQuiet) {
            self.storm.end();
        }
        self.storm.last_rejection = Some(self.now);
    }

    /// A request was accepted with this token.
    pub(crate) fn accepted(&mut self, token: usize) {
        let first = !self.tokens[token..].iter().any(|token| token.accepted);
        self.tokens[token].accepted = true;
        if self.twist == Some(Twist::AnyAcceptedHeals) {
            self.storm.end();
        }
        if first && !self.storm.somebody {
            self.storm.until = 0;
            self.storm.somebody = true;
        }
    }

    /// A request that was sent again with this token was accepted.
    pub(crate) fn healed(&mut self, token: usize) {
        self.tokens[token].judged = true;
        if self.twist != Some(Twist::NothingHeals) {
            self.storm.end();
        }
    }

    /// A request that was sent again with this token was rejected. Counts once for a token, and not when a newer one has
    /// shown how things stand.
    pub(crate) fn did_not_heal(&mut self, token: usize) {
        if self.tokens[token..].iter().any(|token| token.judged) {
            return;
        }
        let accepted = self.tokens[token..].iter().any(|token| token.accepted);
        self.tokens[token].judged = true;
        let somebody = accepted || self.storm.retired_was_accepted;
        if self.storm.somebody && !somebody {
            // What was one caller's trouble, 10 s at most, is everybody's now: 16 s at most, and on from there.
            self.storm.unhealed = self.storm.unhealed.min(4);
        }
        self.storm.somebody = somebody;
        let longest = if self.storm.somebody && self.twist != Some(Twist::LongSpacing) { 10_000 } else { 60_000 };
        if self.twist != Some(Twist::NoSpacing) {
            self.storm.until = self.now + (1_000 << self.storm.unhealed.min(16)).min(longest);
        }
        self.storm.unhealed += 1;
    }

    /// R7: this token is a renewal that nobody was sent again with yet. Rejected within ten seconds, or before anybody got
    /// an answer with it, it has not healed.
    pub(crate) fn is_unproven(&self, token: usize) -> bool {
        let judged = self.tokens[token..].iter().any(|token| token.judged);
        let newest_renewal = self.tokens.iter().rposition(|token| token.renewal);
        let Some(token) = self.tokens.get(token).filter(|_| !judged && newest_renewal == Some(token)) else {
            return false;
        };
        let young = self.now - token.came < 10_000 && self.twist != Some(Twist::NoYouth);
        young || !(token.accepted || token.answered)
    }
}

//! Storm control: how far apart renewals are kept while they do not heal.

use std::time::Duration;

use crate::{clock::Moment, token::schedule};

/// Whether a rejected token may be renewed at once, or has to wait since renewing did not help the last time.
#[derive(Debug, Default)]
pub(crate) struct Spacing {
    until: Option<Moment>,
    /// Renewals in a row that did not heal.
    unhealed: u32,
    /// Whether the API accepts anybody with these tokens: one caller's trouble then, not everybody's.
    ever_accepted: bool,
    last_rejection: Option<Moment>,
    /// The newest token that was obtained because one was rejected.
    renewal: u64,
    /// The newest token of which it is known whether it healed.
    judged: u64,
}

impl Spacing {
    pub(crate) fn renewed(&mut self, ordinal: u64) {
        self.renewal = ordinal;
    }

    /// Notes that a response rejected its token, whichever it was.
    pub(crate) fn rejected(&mut self, now: Moment) {
        let quiet = self.last_rejection.is_some_and(|last| last.until(now) >= QUIET);
        if quiet && self.ever_accepted {
            self.end();
        }
        self.last_rejection = Some(now);
    }

    pub(crate) fn runs(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Whether this token was obtained because of a rejection, and nobody knows yet whether that helped.
    pub(crate) fn is_unproven(&self, ordinal: u64) -> bool {
        self.renewal == ordinal && self.judged < ordinal
    }

    /// The request sent again with this token was rejected too. Counts once for each token.
    pub(crate) fn did_not_heal(&mut self, ordinal: u64, ever_accepted: bool, now: Moment) {
        if ordinal <= self.judged {
            return;
        }
        self.judged = ordinal;
        self.unhealed = self.unhealed.saturating_add(1);
        self.ever_accepted = ever_accepted;
        self.until = Some(now.after(schedule::spacing(self.unhealed, ever_accepted)));
    }

    /// The request sent again with this token was answered.
    pub(crate) fn healed(&mut self, ordinal: u64) {
        self.judged = self.judged.max(ordinal);
        self.end();
    }

    /// A request was answered with a token that no request had been answered with before.
    pub(crate) fn first_accepted(&mut self) {
        if !self.ever_accepted {
            self.end();
        }
    }

    fn end(&mut self) {
        self.until = None;
        self.unhealed = 0;
    }
}

/// After this long without a rejection, one caller's trouble is over.
const QUIET: Duration = Duration::from_secs(60);

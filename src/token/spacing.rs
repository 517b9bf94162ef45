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
    /// The newest token that was obtained because one was rejected, and when.
    renewal: u32,
    renewed_at: Option<Moment>,
    /// The newest token with which a request that was sent again got an answer of whatever kind, but no rejection.
    answered: u32,
    /// The newest token of which it is known whether it healed.
    judged: u32,
}

impl Spacing {
    pub(crate) fn renewed(&mut self, ordinal: u32, now: Moment) {
        self.renewal = ordinal;
        self.renewed_at = Some(now);
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
    ///
    /// It is known when a rejected request was sent again with it. Where none is, as with `NoReplay`, an accepted request
    /// proves little at first: it may be another caller's.
    pub(crate) fn is_unproven(&self, ordinal: u32, ever_accepted: bool, now: Moment) -> bool {
        let young = self.renewed_at.is_some_and(|renewed| renewed.until(now) < YOUTH);
        let known = ever_accepted || self.answered >= ordinal;
        self.renewal == ordinal && self.judged < ordinal && (young || !known)
    }

    /// The request sent again with this token was rejected too. Counts once for each token.
    pub(crate) fn did_not_heal(&mut self, ordinal: u32, ever_accepted: bool, now: Moment) {
        if ordinal <= self.judged {
            return;
        }
        self.judged = ordinal;
        if self.ever_accepted && !ever_accepted {
            // One caller's trouble becomes everybody's: go on from its longest spacing, not from the count behind it.
            self.unhealed = self.unhealed.min(LONGEST_COUNT_OF_ONE);
        }
        self.unhealed = self.unhealed.saturating_add(1);
        self.ever_accepted = ever_accepted;
        self.until = Some(now.after(schedule::spacing(self.unhealed, ever_accepted)));
    }

    /// The request sent again with this token was not rejected, but not accepted either.
    pub(crate) fn answered(&mut self, ordinal: u32) {
        self.answered = self.answered.max(ordinal);
    }

    /// The request sent again with this token was accepted.
    pub(crate) fn healed(&mut self, ordinal: u32) {
        self.judged = self.judged.max(ordinal);
        self.end();
    }

    /// A request was accepted with a token that none had been accepted with before. If nobody was accepted at all, there
    /// is hope again; but what did not heal so far still counts, as that may have been one caller's trouble all along.
    pub(crate) fn first_accepted(&mut self) {
        if !self.ever_accepted {
            self.until = None;
            self.ever_accepted = true;
        }
    }

    fn end(&mut self) {
        self.until = None;
        self.unhealed = 0;
    }
}

/// After this long without a rejection, one caller's trouble is over.
const QUIET: Duration = Duration::from_secs(60);
/// The longest spacing of one caller's trouble is not doubled any more after so many.
const LONGEST_COUNT_OF_ONE: u32 = 4;
/// As long as the longest spacing of one caller's trouble.
const YOUTH: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(0);

    fn at(seconds: u64) -> Moment {
        START.after(Duration::from_secs(seconds))
    }

    /// How many seconds after `from` the spacing still runs.
    fn runs_for(spacing: &Spacing, from: u64) -> u64 {
        (0..1_000).find(|seconds| !spacing.runs(at(from + seconds))).unwrap()
    }

    #[test]
    fn r5_nothing_is_spaced_before_a_renewal_failed_to_heal() {
        let mut spacing = Spacing::default();
        spacing.rejected(at(0));
        spacing.renewed(2, at(0));
        assert!(!spacing.runs(at(0)));
    }

    #[test]
    fn r5_a_renewal_counts_once_however_many_requests_waited_for_it() {
        let mut spacing = Spacing::default();
        for _ in 0..1_000 {
            spacing.did_not_heal(2, true, at(0));
        }
        assert_eq!(runs_for(&spacing, 0), 1);
        spacing.did_not_heal(3, true, at(5));
        assert_eq!(runs_for(&spacing, 5), 2);
    }

    #[test]
    fn r5_a_renewal_that_heals_ends_it() {
        let mut spacing = Spacing::default();
        spacing.did_not_heal(2, true, at(0));
        spacing.did_not_heal(3, true, at(0));
        spacing.healed(4);
        assert!(!spacing.runs(at(0)));
        spacing.did_not_heal(5, true, at(1));
        assert_eq!(runs_for(&spacing, 1), 1, "the count begins anew");
    }

    #[test]
    fn r5_a_request_that_waited_longer_does_not_overturn_a_renewal_that_healed() {
        let mut spacing = Spacing::default();
        spacing.healed(2);
        spacing.did_not_heal(2, true, at(0));
        assert!(!spacing.runs(at(0)));
    }

    #[test]
    fn r5_the_first_accepted_request_ends_it_only_where_nobody_was_accepted_before() {
        let mut wrong_audience = Spacing::default();
        wrong_audience.did_not_heal(2, false, at(0));
        wrong_audience.first_accepted();
        assert!(!wrong_audience.runs(at(0)));
        wrong_audience.did_not_heal(3, true, at(0));
        assert_eq!(runs_for(&wrong_audience, 0), 2, "one caller's trouble all along, so the count goes on");

        let mut one_bad_caller = Spacing::default();
        one_bad_caller.did_not_heal(2, true, at(0));
        one_bad_caller.first_accepted();
        assert!(one_bad_caller.runs(at(0)));
    }

    #[test]
    fn r5_a_minute_without_a_rejection_ends_it() {
        let long_spaced = || {
            let mut spacing = Spacing::default();
            spacing.rejected(at(0));
            (2..10).for_each(|ordinal| spacing.did_not_heal(ordinal, true, at(0)));
            spacing
        };
        for (quiet, expected) in [(59, 10), (60, 1)] {
            let mut spacing = long_spaced();
            spacing.rejected(at(quiet));
            spacing.did_not_heal(10, true, at(quiet));
            assert_eq!(runs_for(&spacing, quiet), expected, "after {quiet} s");
        }
    }

    #[test]
    fn r5_a_minute_without_a_rejection_ends_the_count_once_somebody_was_accepted() {
        for (accepted, expected) in [(false, 2), (true, 1)] {
            let mut spacing = Spacing::default();
            spacing.rejected(at(0));
            spacing.did_not_heal(2, false, at(0));
            if accepted {
                spacing.first_accepted();
            }
            spacing.rejected(at(60));
            spacing.did_not_heal(3, false, at(60));
            assert_eq!(runs_for(&spacing, 60), expected, "accepted: {accepted}");
        }
    }

    #[test]
    fn r7_a_renewed_token_is_unproven_until_it_is_judged() {
        let mut spacing = Spacing::default();
        assert!(!spacing.is_unproven(1, false, at(0)), "the first token was no renewal");
        spacing.renewed(2, at(0));
        assert!(spacing.is_unproven(2, false, at(0)));
        spacing.did_not_heal(2, false, at(0));
        assert!(!spacing.is_unproven(2, false, at(0)));
        spacing.renewed(3, at(0));
        spacing.healed(3);
        assert!(!spacing.is_unproven(3, false, at(0)));
    }

    #[test]
    fn r7_what_others_do_with_a_renewed_token_proves_something_after_ten_seconds() {
        let mut spacing = Spacing::default();
        spacing.renewed(2, at(0));
        assert!(spacing.is_unproven(2, true, at(9)));
        assert!(!spacing.is_unproven(2, true, at(10)));
        assert!(spacing.is_unproven(2, false, at(10)));
        spacing.answered(2);
        assert!(!spacing.is_unproven(2, false, at(10)));
    }
}

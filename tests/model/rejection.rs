//! R2 to R7: what an answer tells about its token, and what becomes of a rejected request.

use tower_outbound_auth::rejection::NotReplayed;

use crate::{
    budget::Unit,
    caller::Caller,
    fetch::Cause,
    log::outcome,
    model::{Model, Stop},
    server::{REJECTED_AS_TOLD, SCOPE},
    twist::Twist,
};

/// When the request is replayed, if it can be.
enum Renewal {
    /// At once, with the token that is there.
    Now,
    /// When the fetch under way has ended.
    Waits,
}

impl Model<'_> {
    pub(crate) fn answered(&mut self, caller: Caller, token: usize, status: u16, sent_at: u64) {
        let is_replay = caller.rejected.is_some();
        match status {
            401 | REJECTED_AS_TOLD if !is_replay || (self.twist == Some(Twist::ReplayTwice) && caller.sent < 3) => {
                self.rejected(caller, token, status);
            }
            401 | REJECTED_AS_TOLD => {
                self.replay_ended(token, false);
                self.end(&caller, outcome(status, Some(NotReplayed::RejectedAgain)));
            }
            SCOPE => self.end(&caller, outcome(401, Some(NotReplayed::InsufficientScope))),
            403 | 429 | 503 => {
                if self.twist == Some(Twist::UnknownAccepts) {
                    self.accepted(token, sent_at);
                }
                self.end(&caller, outcome(status, None));
            }
            _ => {
                self.accepted(token, sent_at);
                if is_replay {
                    self.replay_ended(token, true);
                }
                self.end(&caller, outcome(status, None));
            }
        }
    }

    /// A request was accepted with this token. If it was sent after a rejection, that is contradicted.
    fn accepted(&mut self, token: usize, sent_at: u64) {
        let now = self.now;
        if self.is_newest(token) && self.twist != Some(Twist::AcceptanceResetsNothing) {
            self.rejections = 0;
        }
        let token = &mut self.tokens[token];
        token.contradicted |= token.renewed_at.is_some_and(|at| sent_at > at);
        token.first_accepted.get_or_insert(now);
    }

    /// The budget looks at the first replay with each token.
    pub(crate) fn replay_ended(&mut self, token: usize, accepted: bool) {
        self.tokens[token].first_replay.get_or_insert(accepted);
        self.rejections += u32::from(!accepted && self.is_newest(token));
    }

    /// R2: a token is its text, whichever fetch brought it.
    fn is_newest(&self, token: usize) -> bool {
        self.tokens.last().is_some_and(|newest| newest.text == self.tokens[token].text)
    }

    /// The first answer rejects the token.
    fn rejected(&mut self, mut caller: Caller, token: usize, status: u16) {
        self.rejections += u32::from(self.is_newest(token));
        let is_newest = self.is_newest(token) || self.twist == Some(Twist::RetireBlindly);
        let renewal = match self.usable() {
            // R3: a newer one is there.
            Some(_) if !is_newest => Ok(Renewal::Now),
            Some(current) => self.renew(current),
            None => self.renew_what_is_gone(is_newest),
        };
        let renewal = match renewal {
            Ok(renewal) if self.history.replays => renewal,
            ended => {
                let mark = ended.err().unwrap_or(NotReplayed::BodyNotReplayable);
                return self.end(&caller, outcome(status, Some(mark)));
            }
        };
        caller.rejected = Some((token, status));
        match renewal {
            Renewal::Now if !is_newest && self.twist == Some(Twist::NewerTokenIsNotUsed) => {
                self.end(&caller, outcome(status, Some(NotReplayed::FetchFailed)));
            }
            Renewal::Now => self.ask(caller),
            Renewal::Waits => self.wait_for_fetch(caller, Cause::Missing),
        }
    }

    /// R5: the token in use was rejected.
    fn renew(&mut self, current: usize) -> Result<Renewal, NotReplayed> {
        if self.fetch.is_none() {
            // Which of the two reasons is named depends on a draw.
            if self.backoff_is_unknown() && !self.budget.has_one(self.now) {
                // And whether the unit that the token cost is lost by now.
                if self.rejections > 1 || self.awaits_acceptance(current) {
                    self.stop(Stop::Tie(self.now));
                }
                return Ok(Renewal::Now);
            }
            if self.twist != Some(Twist::RenewalIgnoresBackoff) && self.backs_off() {
                return self.at_once_or(NotReplayed::FetchFailed);
            }
            self.settle_as_lost(current);
            if !self.may_renew() {
                return self.at_once_or(NotReplayed::Throttled);
            }
            self.tokens[current].renewed_at = Some(self.now);
            self.tokens[current].contradicted = false;
            let unit = Unit { of: current, replayable: self.history.replays, settled: false };
            self.begin_fetch(Cause::Rejected, Some(unit));
        }
        self.retire_if_rejected_twice();
        Ok(Renewal::Waits)
    }

    /// No token is in use: any request would begin a fetch, so that it costs no unit.
    fn renew_what_is_gone(&mut self, is_newest: bool) -> Result<Renewal, NotReplayed> {
        if self.fetch.is_none() {
            if self.backs_off() {
                return Err(NotReplayed::FetchFailed);
            }
            self.begin_fetch(Cause::Rejected, None);
        }
        if is_newest {
            self.retire_if_rejected_twice();
        }
        Ok(Renewal::Waits)
    }

    /// No fetch may begin.
    fn at_once_or(&self, mark: NotReplayed) -> Result<Renewal, NotReplayed> {
        if self.rejections > 1 { Err(mark) } else { Ok(Renewal::Now) }
    }

    fn retire_if_rejected_twice(&mut self) {
        let retires = match self.twist {
            Some(Twist::FirstRejectionRetires) => true,
            Some(Twist::NothingRetires) => false,
            _ => self.rejections > 1,
        };
        if let Some(newest) = self.tokens.last_mut() {
            newest.retired |= retires;
        }
    }
}

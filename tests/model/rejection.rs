//! R2 to R7: what an answer tells about its token, and what becomes of a rejected request.

use tower_outbound_auth::rejection::NotReplayed;

use crate::{
    caller::Caller,
    fetch::Cause,
    log::outcome,
    model::{Model, Stop},
    server::{REJECTED_AS_TOLD, SCOPE},
    twist::Twist,
};

/// What a replay has to wait for.
enum Renewal {
    /// The fetch under way.
    Fetch,
    /// No fetch may begin: it is replayed at once, with the same token.
    None,
}

impl Model<'_> {
    pub(crate) fn answered(&mut self, caller: Caller, token: usize, status: u16, sent_at: u64) {
        let is_replay = caller.rejected.is_some();
        match status {
            401 | REJECTED_AS_TOLD if !is_replay || (self.twist == Some(Twist::ReplayTwice) && caller.sent < 3) => {
                self.rejected(caller, token, status);
            }
            401 | REJECTED_AS_TOLD => {
                self.count_rejection(token);
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

    /// Somebody was accepted with this token. What is sent after its rejection contradicts that.
    fn accepted(&mut self, token: usize, sent_at: u64) {
        let now = self.now;
        let token = &mut self.tokens[token];
        token.contradicted |= token.renewed_at.is_some_and(|at| sent_at > at);
        token.first_accepted.get_or_insert(now);
        if self.twist != Some(Twist::AcceptanceResetsNothing) {
            let text = token.text;
            self.rejections.remove(&text);
        }
    }

    fn count_rejection(&mut self, token: usize) -> u32 {
        let count = self.rejections.entry(self.tokens[token].text).or_default();
        *count += 1;
        *count
    }

    /// The budget looks at the first replay with each token.
    pub(crate) fn replay_ended(&mut self, token: usize, accepted: bool) {
        self.tokens[token].first_replay.get_or_insert(accepted);
    }

    /// The first answer rejects the token.
    fn rejected(&mut self, mut caller: Caller, token: usize, status: u16) {
        let in_a_row = self.count_rejection(token);
        let text = self.tokens[token].text;
        let is_it = |current: &usize| self.tokens[*current].text == text || self.twist == Some(Twist::RetireBlindly);
        let current = self.current.filter(|current| self.lives(*current)).filter(is_it);
        let renewal = current.map(|current| self.renew(current, in_a_row));
        if let Some(Err(mark)) = renewal {
            return self.end(&caller, outcome(status, Some(mark)));
        }
        if !self.history.replays {
            return self.end(&caller, outcome(status, Some(NotReplayed::BodyNotReplayable)));
        }
        caller.rejected = Some((token, status));
        match (renewal, current) {
            (Some(Ok(Renewal::None)), Some(current)) => self.send(caller, current),
            (Some(_), _) => self.wait_for_fetch(caller, Cause::Missing),
            (None, _) if self.twist == Some(Twist::NewerTokenIsNotUsed) => {
                self.end(&caller, outcome(status, Some(NotReplayed::FetchFailed)));
            }
            // R3: a newer one is there, or has to be waited for.
            (None, _) => self.ask(caller),
        }
    }

    /// No fetch may begin, but which of the two reasons is named depends on a draw.
    fn denied(&mut self, first: bool) -> Result<Renewal, NotReplayed> {
        if !first {
            self.stop(Stop::Tie(self.now));
        }
        Ok(Renewal::None)
    }

    /// R5: the current token was rejected.
    fn renew(&mut self, current: usize, in_a_row: u32) -> Result<Renewal, NotReplayed> {
        let first = in_a_row == 1;
        if self.fetch.is_none() {
            if self.backoff_is_unknown() && !self.budget.has_one(self.now) {
                return self.denied(first);
            }
            if self.twist != Some(Twist::RenewalIgnoresBackoff) && self.backs_off() {
                return if first { Ok(Renewal::None) } else { Err(NotReplayed::FetchFailed) };
            }
            if !self.may_renew() {
                return if first { Ok(Renewal::None) } else { Err(NotReplayed::Throttled) };
            }
            self.settle_as_lost(current);
            self.tokens[current].renewed_at = Some(self.now);
            self.tokens[current].contradicted = false;
            self.begin_fetch(Cause::Rejected(current));
        }
        let retires = match self.twist {
            Some(Twist::FirstRejectionRetires) => true,
            Some(Twist::NothingRetires) => false,
            _ => !first,
        };
        self.tokens[current].retired |= retires;
        Ok(Renewal::Fetch)
    }
}

//! What becomes of one call, in plain words: it waits for a token, is sent, perhaps rejected, and perhaps sent again.

use tower_outbound_auth::{ErrorKind, rejection::NotReplayed};

use crate::{
    history::Path,
    log::{Seen, outcome},
    model::{Event, Model},
    server::{REJECTED_AS_TOLD, SCOPE},
    twist::Twist,
};

/// A call that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) step: usize,
    /// Of a request; nothing for a question to the handle.
    pub(crate) request: Option<(Path, u64)>,
    /// How long it may still wait for tokens.
    pub(crate) patience: Option<u64>,
    pub(crate) stage: Stage,
    /// The token that was rejected, and the status of that answer.
    pub(crate) rejected: Option<(usize, u16)>,
    /// How often it was sent.
    pub(crate) sent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Begins,
    WaitsSince(u64),
    Sent { token: usize, status: u16 },
}

impl Model<'_> {
    /// A call wants a token: any, or one after that which was rejected, or a new one whatever there is.
    pub(crate) fn ask(&mut self, caller: Caller, forced: bool) {
        let rejected = caller.rejected.is_some();
        if !forced && let Some(token) = self.usable() {
            self.attend();
            return self.got(caller, Ok(token));
        }
        if let Some(flight) = &mut self.flight {
            flight.renews |= rejected;
        } else if (!forced || self.twist == Some(Twist::RefreshHeedsCoolDown)) && self.cools_down() {
            let kind = self.cool_down.as_ref().map_or(ErrorKind::Aborted, |cool_down| cool_down.kind);
            return self.got(caller, Err(kind));
        } else {
            self.begin_flight(rejected);
        }
        self.wait(caller);
    }

    fn wait(&mut self, mut caller: Caller) {
        match caller.patience.filter(|_| self.twist != Some(Twist::IgnoreMaxWait)) {
            Some(0) => return self.gave_up(&caller),
            Some(patience) => self.later(patience, Event::Patience(caller.step, self.now)),
            None => {}
        }
        caller.stage = Stage::WaitsSince(self.now);
        self.callers.push(caller);
    }

    /// T4, T14: whoever uses an old token, or one from before a rotation, also begins the flight for the next.
    pub(crate) fn attend(&mut self) {
        let Some(current) = self.current.filter(|_| self.flight.is_none()) else { return };
        let token = &self.tokens[current];
        let old = self.now >= self.aging_from(token) && self.twist != Some(Twist::NoEarlyRefresh);
        let outdated = self.generation > token.generation && self.twist != Some(Twist::IgnoreGeneration);
        if (old || outdated) && !self.cools_down() {
            self.begin_flight(false);
        }
    }

    /// A flight ended: everybody who waits shares what came of it.
    pub(crate) fn wake(&mut self, ended: Result<usize, ErrorKind>) {
        let waits = |caller: &Caller| matches!(caller.stage, Stage::WaitsSince(_));
        let (waiting, others): (Vec<_>, _) = std::mem::take(&mut self.callers).into_iter().partition(waits);
        self.callers = others;
        for mut caller in waiting {
            if let (Stage::WaitsSince(since), Some(patience)) = (caller.stage, &mut caller.patience) {
                *patience = patience.saturating_sub(self.now - since);
            }
            self.got(caller, ended);
        }
    }

    pub(crate) fn gave_up(&mut self, caller: &Caller) {
        match caller.rejected {
            Some((_, status)) => self.end(caller, outcome(status, Some(NotReplayed::FetchFailed))),
            None => self.end(caller, format!("{:?}", ErrorKind::Timeout)),
        }
    }

    fn got(&mut self, caller: Caller, token: Result<usize, ErrorKind>) {
        match (token, caller.rejected) {
            (Err(_), Some((_, status))) => self.end(&caller, outcome(status, Some(NotReplayed::FetchFailed))),
            (Err(kind), None) => {
                self.told_of_cool_down(caller.step);
                self.end(&caller, format!("{kind:?}"));
            }
            (Ok(token), Some((rejected, status)))
                if self.tokens[token].text == self.tokens[rejected].text
                    && self.twist != Some(Twist::SameTokenHeals) =>
            {
                // As good as sent again and rejected.
                self.note_rejection();
                self.did_not_heal(token);
                self.end(&caller, outcome(status, Some(NotReplayed::SameToken)));
            }
            (Ok(token), _) => self.send(caller, token),
        }
    }

    fn send(&mut self, mut caller: Caller, token: usize) {
        let text = self.tokens[token].text;
        let Some((path, latency)) = caller.request else {
            self.held = Some(text);
            return self.end(&caller, format!("token {text}"));
        };
        self.note(Seen::Sent { step: caller.step, token: text });
        caller.sent += 1;
        caller.stage = Stage::Sent { token, status: self.server.says(path, text) };
        self.later(latency, Event::Answered(caller.step, caller.sent));
        self.callers.push(caller);
    }

    pub(crate) fn answered(&mut self, caller: Caller, token: usize, status: u16) {
        let again = caller.rejected.is_some();
        match status {
            401 | REJECTED_AS_TOLD if !again || (self.twist == Some(Twist::ReplayTwice) && caller.sent < 3) => {
                self.rejected(caller, token, status);
            }
            401 | REJECTED_AS_TOLD => {
                self.note_rejection();
                self.did_not_heal(token);
                self.end(&caller, outcome(status, Some(NotReplayed::RejectedAgain)));
            }
            403 | 503 | SCOPE => {
                self.tokens[token].answered |= again;
                let told = if status == SCOPE {
                    outcome(401, Some(NotReplayed::InsufficientScope))
                } else {
                    outcome(status, None)
                };
                self.end(&caller, told);
            }
            _ => {
                self.accepted(token);
                if again {
                    self.healed(token);
                }
                self.end(&caller, outcome(status, None));
            }
        }
    }

    /// R2 to R7: the first answer rejects the token.
    fn rejected(&mut self, mut caller: Caller, token: usize, status: u16) {
        self.note_rejection();
        let text = self.tokens[token].text;
        let current = self
            .current
            .filter(|current| self.tokens[*current].text == text || self.twist == Some(Twist::RetireBlindly));
        if let Some(current) = current {
            if self.storm.runs(self.now) {
                return self.end(&caller, outcome(status, Some(NotReplayed::Throttled)));
            }
            if self.is_unproven(current) {
                self.did_not_heal(current);
                return self.end(&caller, outcome(status, Some(NotReplayed::Throttled)));
            }
            if self.flight.is_none() && self.twist != Some(Twist::RetireInCoolDown) && self.cools_down() {
                return self.end(&caller, outcome(status, Some(NotReplayed::FetchFailed)));
            }
            self.retire(current);
        }
        if self.history.sends_again {
            caller.rejected = Some((token, status));
            self.ask(caller, false);
        } else {
            let mark = self.renew_for_others();
            self.end(&caller, outcome(status, Some(mark)));
        }
    }

    /// R7: the token is renewed, though this request is not sent again; or it cannot be, in a cool-down.
    fn renew_for_others(&mut self) -> NotReplayed {
        if self.usable().is_some() {
            self.attend();
        } else if let Some(flight) = &mut self.flight {
            flight.renews = true;
        } else if self.cools_down() {
            return NotReplayed::FetchFailed;
        } else {
            self.begin_flight(true);
        }
        NotReplayed::BodyNotReplayable
    }

    pub(crate) fn retire(&mut self, token: usize) {
        self.storm.retired_was_accepted = self.tokens[token].accepted;
        self.tokens[token].retired = true;
        self.current = None;
    }
}

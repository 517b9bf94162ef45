//! What becomes of one call: it waits for a token, is sent, perhaps rejected, and perhaps replayed.

use tower_outbound_auth::{ErrorKind, rejection::NotReplayed};

use crate::{
    fetch::Cause,
    history::Path,
    log::{Seen, outcome},
    model::{Event, Model},
    twist::Twist,
};

/// A call that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) step: usize,
    pub(crate) wants: Wants,
    /// How long it may still wait for tokens.
    pub(crate) patience: Option<u64>,
    pub(crate) stage: Stage,
    /// The token that was rejected, and the status of that answer.
    pub(crate) rejected: Option<(usize, u16)>,
    /// The number of times it was sent.
    pub(crate) sent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// To send a request: where to, and how long an answer takes.
    Request(Path, u64),
    /// `TokenHandle::token`.
    Token,
    /// `TokenHandle::refresh`.
    Refresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Begins,
    WaitsSince(u64),
    Sent { token: usize, status: u16, at: u64 },
}

impl Model<'_> {
    /// A call wants a token: a usable one, or a new one whatever there is.
    pub(crate) fn ask(&mut self, caller: Caller) {
        if caller.wants == Wants::Refresh {
            return self.wait_for_fetch(caller, Cause::Forced);
        }
        match self.usable() {
            Some(token) => {
                self.refresh_if_due();
                self.send(caller, token);
            }
            None => self.wait_for_fetch(caller, Cause::Missing),
        }
    }

    /// T1, T8: joins the fetch under way, or begins one, unless a backoff runs.
    pub(crate) fn wait_for_fetch(&mut self, mut caller: Caller, cause: Cause) {
        let heeds_backoff = cause != Cause::Forced || self.twist == Some(Twist::RefreshHeedsBackoff);
        if self.fetch.is_none() {
            if heeds_backoff && self.backs_off() {
                let kind = self.backoff.as_ref().map_or(ErrorKind::Aborted, |backoff| backoff.kind);
                return self.got_no_token(&caller, kind);
            }
            self.begin_fetch(cause, None);
        }
        match caller.patience.filter(|_| self.twist != Some(Twist::IgnoreMaxWait)) {
            Some(0) => return self.gave_up(&caller),
            Some(patience) => self.later(patience, Event::Patience(caller.step, self.now)),
            None => {}
        }
        caller.stage = Stage::WaitsSince(self.now);
        self.callers.push(caller);
    }

    /// T4, T14: a request with a stale token, or one from before a rotation, also begins the fetch of the next.
    pub(crate) fn refresh_if_due(&mut self) {
        let Some(current) = self.current.filter(|_| self.fetch.is_none()) else { return };
        let token = &self.tokens[current];
        let stale = self.now >= self.stale_from(token) && self.twist != Some(Twist::NoEarlyRefresh);
        let outdated = self.generation > token.generation && self.twist != Some(Twist::IgnoreGeneration);
        if (stale || outdated) && !self.backs_off() {
            self.begin_fetch(Cause::Stale, None);
        }
    }

    /// T3: a fetch ended, and everybody who waits shares what came of it.
    pub(crate) fn wake(&mut self, ended: Result<usize, ErrorKind>) {
        let waits = |caller: &Caller| matches!(caller.stage, Stage::WaitsSince(_));
        let (waiting, others): (Vec<_>, _) = std::mem::take(&mut self.callers).into_iter().partition(waits);
        self.callers = others;
        for mut caller in waiting {
            if let (Stage::WaitsSince(since), Some(patience)) = (caller.stage, &mut caller.patience) {
                *patience = patience.saturating_sub(self.now - since);
            }
            match ended {
                Ok(token) => self.got(caller, token),
                Err(kind) => self.got_no_token(&caller, kind),
            }
        }
    }

    fn got(&mut self, caller: Caller, token: usize) {
        let same = |(rejected, _): &(usize, u16)| self.tokens[*rejected].text == self.tokens[token].text;
        match caller.rejected.filter(same) {
            Some((_, status)) if self.twist != Some(Twist::SameTokenIsReplayed) => {
                self.replay_ended(token, false);
                self.end(&caller, outcome(status, Some(NotReplayed::SameToken)));
            }
            _ => self.send(caller, token),
        }
    }

    /// R5, R6: the rejected get their own response; others may go on with the token that there is, if it is usable.
    fn got_no_token(&mut self, caller: &Caller, kind: ErrorKind) {
        match (caller.rejected, self.usable().filter(|_| caller.wants != Wants::Refresh)) {
            (Some((_, status)), _) => self.end(caller, outcome(status, Some(NotReplayed::FetchFailed))),
            (None, Some(token)) => self.send(caller.clone(), token),
            (None, None) => {
                self.told_of_backoff(caller.step);
                self.end(caller, format!("{kind:?}"));
            }
        }
    }

    /// S7.
    pub(crate) fn gave_up(&mut self, caller: &Caller) {
        match caller.rejected {
            Some((_, status)) => self.end(caller, outcome(status, Some(NotReplayed::FetchFailed))),
            None => self.end(caller, format!("{:?}", ErrorKind::Timeout)),
        }
    }

    pub(crate) fn send(&mut self, mut caller: Caller, token: usize) {
        let text = self.tokens[token].text;
        let Wants::Request(path, latency) = caller.wants else {
            self.held = Some(text);
            return self.end(&caller, format!("token {text}"));
        };
        self.note(Seen::Sent { step: caller.step, token: text });
        caller.sent += 1;
        caller.stage = Stage::Sent { token, status: self.server.says(path, text, caller.sent > 1), at: self.now };
        self.later(latency, Event::Answered(caller.step, caller.sent));
        self.callers.push(caller);
    }
}

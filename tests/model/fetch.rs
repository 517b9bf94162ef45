//! T1 to T3, T8 and T9: one fetch at a time, its attempts, and the backoff after one that failed.

use std::time::Duration;

use tower_outbound_auth::ErrorKind;

use crate::{
    budget::Unit,
    history::Answer,
    log::Seen,
    model::{Event, Model, Stop},
    token::Token,
    twist::Twist,
};

/// The fetch under way.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// Counts the fetches.
    pub(crate) number: u64,
    began: u64,
    /// The source's generation when it began, and at its last attempt.
    generation: u64,
    of_attempt: u64,
    /// Whether its attempt tries the secret before a rotation.
    tries_previous: bool,
    attempts: u32,
    /// The token that must not come again.
    rejected: Option<u64>,
    /// Of a fetch that a rejection caused.
    unit: Option<Unit>,
}

/// Why a fetch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// There is no usable token.
    Missing,
    /// The token is stale, or from before a rotation.
    Stale,
    /// The newest token was rejected, or there is no usable one any more for a rejected request.
    Rejected,
    /// `TokenHandle::refresh`.
    Forced,
}

/// What keeps the next fetch back. Its end was drawn at random: only its bounds are known, until a caller is told how long
/// it still runs, or a fetch begins or does not.
#[derive(Debug)]
pub(crate) struct Backoff {
    pub(crate) earliest: Duration,
    pub(crate) latest: Duration,
    pub(crate) generation: u64,
    pub(crate) kind: ErrorKind,
}

/// The secret before the last rotation, unless the server is known to have learnt the new one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replaced {
    pub(crate) generation: u64,
    pub(crate) at: u64,
}

impl Replaced {
    /// Whether an attempt with the secret of this generation may fall back to it.
    fn serves(self, of_attempt: u64, now: u64) -> bool {
        self.generation < of_attempt && now < self.at + 60_000
    }
}

impl Model<'_> {
    pub(crate) fn begin_fetch(&mut self, cause: Cause, unit: Option<Unit>) {
        let is_named = self.is_invalidated() || matches!(cause, Cause::Rejected | Cause::Forced);
        let rejected = self.tokens.last().filter(|_| is_named).map(|newest| newest.text);
        self.fetches += 1;
        self.fetch = Some(Fetch {
            number: self.fetches,
            began: self.now,
            generation: self.generation,
            of_attempt: self.generation,
            tries_previous: false,
            attempts: 0,
            rejected: rejected.filter(|_| self.twist != Some(Twist::RejectedIsNotNamed)),
            unit,
        });
        self.later(self.history.settings.deadline, Event::Deadline(self.fetches));
        self.attempt();
    }

    pub(crate) fn attempt(&mut self) {
        let generation = self.generation;
        let Some(fetch) = &mut self.fetch else { return };
        fetch.attempts += 1;
        // T14: a token is as new as the secret that obtained it.
        (fetch.of_attempt, fetch.tries_previous) = (generation, false);
        let rejected = fetch.rejected;
        self.asked += 1;
        self.note(Seen::TokenRequest { rejected });
        self.request_token();
    }

    fn request_token(&mut self) {
        let Some(Fetch { number: fetch, .. }) = self.fetch else { return };
        let endpoint = self.server.endpoint;
        self.later(endpoint.latency, Event::Fetched { fetch, since: self.now, answer: endpoint.answer });
    }

    pub(crate) fn fetched(&mut self, since: u64, answer: Answer) {
        let Some(fetch) = &mut self.fetch else { return };
        let tries_previous = fetch.tries_previous;
        // T14: a server that has not learnt the new secret yet may know the one before.
        if answer == Answer::Refuses
            && !tries_previous
            && self.replaced.is_some_and(|replaced| replaced.serves(fetch.of_attempt, self.now))
        {
            fetch.tries_previous = self.twist != Some(Twist::NoOverlap);
            if fetch.tries_previous {
                return self.request_token();
            }
        }
        match answer {
            Answer::Down { .. } | Answer::Garbage if tries_previous => self.fail(ErrorKind::Denied, None),
            Answer::Token { seconds, same } => self.publish(since, seconds, same),
            Answer::Down { retry_after } => {
                let sensible = retry_after.filter(|seconds| *seconds <= 86_400);
                self.try_again_or_fail(sensible.map(|seconds| seconds * 1_000));
            }
            Answer::Refuses if self.twist == Some(Twist::RefusalIsTransient) => self.try_again_or_fail(None),
            Answer::Refuses => self.fail(ErrorKind::Denied, None),
            Answer::Garbage => self.fail(ErrorKind::Malformed, None),
            Answer::Panics => self.fail(ErrorKind::Aborted, None),
        }
    }

    fn publish(&mut self, born: u64, seconds: Option<u64>, same: bool) {
        let Some(fetch) = self.fetch.take() else { return };
        if !fetch.tries_previous {
            self.replaced = self.replaced.filter(|replaced| replaced.generation >= fetch.of_attempt);
        }
        if let Some(newest) = self.tokens.len().checked_sub(1) {
            self.settle_as_lost(newest);
        }
        self.tokens.push(Token {
            text: self.server.give(same),
            born,
            came: self.now,
            // T7: zero is none.
            lifetime: seconds.filter(|seconds| *seconds > 0).map(|seconds| seconds * 1_000),
            generation: fetch.of_attempt,
            retired: false,
            unit: fetch.unit,
            first_accepted: None,
            first_replay: None,
            renewed_at: None,
            contradicted: false,
        });
        let token = self.tokens.len() - 1;
        self.current = Some(token);
        self.rejections = 0;
        self.backoff = None;
        self.failures_in_a_row = 0;
        self.last_error = None;
        self.wake(Ok(token));
    }

    /// T9: `Retry-After` is waited for where the deadline allows; else the layer draws a pause, and its next token request
    /// tells how long that is.
    fn try_again_or_fail(&mut self, retry_after: Option<u64>) {
        let Some(fetch) = &mut self.fetch else { return };
        let asked_for = retry_after.unwrap_or(0);
        let whole = (200 << (fetch.attempts - 1)).min(5_000);
        let (least, most) = (asked_for.max(whole / 2), asked_for.max(whole));
        let (number, left) = (fetch.number, fetch.began + self.history.settings.deadline - self.now);
        if fetch.attempts >= self.history.settings.attempts || least >= left {
            return self.fail(ErrorKind::Unavailable, retry_after);
        }
        // The draw decides whether it is tried again at all, or when the clock jumps.
        if most >= left || self.jumps_within(most) {
            return self.stop(Stop::Tie(self.now));
        }
        match self.draws.asked.get(self.asked) {
            // Timers are a millisecond wide.
            Some(next) if (self.now + least..=self.now + most + 1).contains(next) => {
                self.later(next - self.now, Event::TryAgain(number));
            }
            None if self.now + most + 1 >= self.last_step => {}
            next => {
                self.stop(Stop::Disagrees(format!("a pause of {least} to {most} ms, then a try: not at {next:?} ms")));
            }
        }
    }

    /// T8, R5: a retired token comes back, and so does the unit of the budget.
    pub(crate) fn fail(&mut self, kind: ErrorKind, retry_after: Option<u64>) {
        let Some(fetch) = self.fetch.take() else { return };
        self.failures += 1;
        self.failures_in_a_row += 1;
        self.last_error = Some(kind);
        let settings = self.history.settings;
        let is_refusal = matches!(kind, ErrorKind::Denied | ErrorKind::Malformed);
        let (first, max) = if is_refusal && self.twist != Some(Twist::RefusalsBackOffLikeOthers) {
            settings.refusal_backoff
        } else {
            settings.failure_backoff
        };
        let whole = (first << (self.failures_in_a_row - 1).min(16)).min(max);
        let asked_for = retry_after.filter(|_| self.twist != Some(Twist::IgnoreRetryAfter)).unwrap_or(0).min(3_600_000);
        self.backoff = Some(Backoff {
            earliest: millis(self.now + asked_for.max(whole / 2)),
            latest: millis(self.now + asked_for.max(whole)),
            generation: fetch.generation,
            kind,
        });
        if fetch.unit.is_some() && self.twist != Some(Twist::NoBudget) {
            self.budget.settle(self.now, self.twist != Some(Twist::FailureCostsAUnit));
        }
        if let Some(current) = self.current {
            self.tokens[current].retired &= self.twist == Some(Twist::RetiredForGood);
        }
        if self.twist == Some(Twist::FailureDropsToken) {
            self.current = None;
        }
        self.wake(Err(kind));
    }

    /// T8: whether no fetch may begin now. Where that depends on the draw, a token request at this moment answers it.
    pub(crate) fn backs_off(&mut self) -> bool {
        let asks = self.draws.asked.get(self.asked) == Some(&self.now);
        // Which may ask for another reason.
        let another_step = self.steps_now();
        let (now, generation) = (millis(self.now), self.generation);
        let Some(backoff) = &mut self.backoff else { return false };
        let rotated = generation > backoff.generation && self.twist != Some(Twist::IgnoreGeneration);
        if rotated || now >= backoff.latest || self.twist == Some(Twist::IgnoreBackoff) {
            return false;
        }
        if now >= backoff.earliest && asks {
            backoff.latest = now;
            if another_step {
                self.stop(Stop::Tie(self.now));
            }
            return false;
        }
        backoff.earliest = backoff.earliest.max(now + Duration::from_nanos(1));
        true
    }

    /// Whether the draw decides that the backoff still runs.
    pub(crate) fn backoff_is_unknown(&self) -> bool {
        let now = millis(self.now);
        let runs = |backoff: &Backoff| self.generation <= backoff.generation && now < backoff.latest;
        self.backoff.as_ref().is_some_and(|backoff| runs(backoff) && now >= backoff.earliest)
    }

    /// T8: an error tells how long the backoff still runs.
    pub(crate) fn told_of_backoff(&mut self, step: usize) {
        let told = self.draws.retry_after.get(&step).map(|wait| millis(self.now) + *wait);
        let Some(backoff) = &mut self.backoff else { return };
        match told {
            Some(end) if (backoff.earliest..=backoff.latest).contains(&end) => {
                (backoff.earliest, backoff.latest) = (end, end);
            }
            _ => {
                let (earliest, latest) = (backoff.earliest, backoff.latest);
                let says = format!("a backoff until {earliest:?} to {latest:?}: step {step} is told {told:?}");
                self.stop(Stop::Disagrees(says));
            }
        }
    }
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

//! T1 to T3, T8 and T9 in plain words: one flight at a time, its tries, and the cool-down after one that failed.

use std::time::Duration;

use tower_outbound_auth::ErrorKind;

use crate::{
    history::Answer,
    log::Seen,
    model::{Event, Model, Stop},
    token::Token,
    twist::Twist,
};

/// The flight under way.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Counts the flights.
    pub(crate) number: u64,
    began: u64,
    generation: u64,
    tries: u32,
    /// The newest token, if it was rejected.
    rejected: Option<u64>,
    /// Somebody whose token was rejected waits for it.
    pub(crate) renews: bool,
}

/// What keeps the next flight back. Its end was drawn at random: all that is known are its bounds, until somebody is told
/// how long it still runs, or a flight begins or does not.
#[derive(Debug)]
pub(crate) struct CoolDown {
    pub(crate) earliest: Duration,
    pub(crate) latest: Duration,
    pub(crate) generation: u64,
    pub(crate) kind: ErrorKind,
}

impl Model<'_> {
    pub(crate) fn begin_flight(&mut self, renews: bool) {
        self.flights += 1;
        self.flight = Some(Flight {
            number: self.flights,
            began: self.now,
            generation: self.generation,
            tries: 0,
            rejected: self.tokens.last().filter(|token| token.retired).map(|token| token.text),
            renews,
        });
        self.later(self.history.settings.deadline, Event::Deadline(self.flights));
        self.try_once();
    }

    pub(crate) fn try_once(&mut self) {
        let Some(flight) = &mut self.flight else { return };
        flight.tries += 1;
        let (number, rejected) = (flight.number, flight.rejected);
        self.asked += 1;
        self.note(Seen::TokenRequest { rejected });
        let endpoint = self.server.endpoint;
        self.later(endpoint.latency, Event::Fetched { flight: number, since: self.now, answer: endpoint.answer });
    }

    pub(crate) fn fetched(&mut self, since: u64, answer: Answer) {
        match answer {
            Answer::Token { seconds, same } => self.publish(since, seconds, same),
            Answer::Down { retry_after } => self.try_again_or_fail(retry_after.map(|seconds| seconds * 1000)),
            Answer::Refuses if self.twist == Some(Twist::RefusalIsTransient) => self.try_again_or_fail(None),
            Answer::Refuses => self.fail(ErrorKind::Denied, None),
            Answer::Garbage => self.fail(ErrorKind::Malformed, None),
            Answer::Panics => self.abort(),
        }
    }

    fn publish(&mut self, born: u64, seconds: Option<u64>, same: bool) {
        let Some(flight) = self.flight.take() else { return };
        self.tokens.push(Token {
            text: self.server.give(same),
            born,
            came: self.now,
            lifetime: seconds.map(|seconds| seconds * 1000),
            generation: flight.generation,
            renewal: flight.renews,
            accepted: false,
            answered: false,
            judged: false,
            retired: false,
        });
        let token = self.tokens.len() - 1;
        self.current = Some(token);
        self.cool_down = None;
        self.failures_in_a_row = 0;
        self.last_error = None;
        self.wake(Ok(token));
    }

    /// T9: `Retry-After` is waited for where the deadline allows; else the layer draws a pause, and its next token request
    /// tells how long that is.
    fn try_again_or_fail(&mut self, retry_after: Option<u64>) {
        let Some(flight) = &mut self.flight else { return };
        let asked_for = retry_after.unwrap_or(0);
        let whole = (200 << (flight.tries - 1)).min(5_000);
        let (least, most) = (asked_for.max(whole / 2), asked_for.max(whole));
        let (number, left) = (flight.number, flight.began + self.history.settings.deadline - self.now);
        if flight.tries >= self.history.settings.attempts || least >= left {
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

    pub(crate) fn fail(&mut self, kind: ErrorKind, retry_after: Option<u64>) {
        let Some(flight) = self.flight.take() else { return };
        self.failures += 1;
        self.failures_in_a_row += 1;
        self.last_error = Some(kind);
        let (first, max) = self.history.settings.cool_down;
        let doublings = (self.failures_in_a_row - 1).min(16);
        let whole: u64 = match kind {
            ErrorKind::Denied => ((first * 10) << doublings).min(max * 5),
            _ => (first << doublings).min(max),
        };
        let asked_for = retry_after.filter(|_| self.twist != Some(Twist::IgnoreRetryAfter)).unwrap_or(0).min(3_600_000);
        if self.twist == Some(Twist::FailureDropsToken) {
            self.current = None;
        }
        self.cool_down = Some(CoolDown {
            earliest: millis(self.now + asked_for.max(whole / 2)),
            latest: millis(self.now + asked_for.max(whole)),
            generation: flight.generation,
            kind,
        });
        self.wake(Err(kind));
    }

    /// T2: nothing is known about the server, so nothing holds the next flight back.
    fn abort(&mut self) {
        self.flight = None;
        self.failures += 1;
        self.last_error = Some(ErrorKind::Aborted);
        self.cool_down = None;
        self.wake(Err(ErrorKind::Aborted));
    }

    /// T8: whether no flight may begin now. Where that hangs on the draw, a token request in this moment says no.
    pub(crate) fn cools_down(&mut self) -> bool {
        let asks = self.draws.asked.get(self.asked) == Some(&self.now);
        // Which may ask for another reason.
        let another_step = self.steps_now();
        let (now, generation) = (millis(self.now), self.generation);
        let Some(cool_down) = &mut self.cool_down else { return false };
        let rotated = generation > cool_down.generation && self.twist != Some(Twist::IgnoreGeneration);
        if rotated || now >= cool_down.latest || self.twist == Some(Twist::IgnoreCoolDown) {
            return false;
        }
        if now >= cool_down.earliest && asks {
            cool_down.latest = now;
            if another_step {
                self.stop(Stop::Tie(self.now));
            }
            return false;
        }
        cool_down.earliest = cool_down.earliest.max(now + Duration::from_nanos(1));
        true
    }

    /// T8: an error tells how long the cool-down still runs.
    pub(crate) fn told_of_cool_down(&mut self, step: usize) {
        let told = self.draws.retry_after.get(&step).map(|wait| millis(self.now) + *wait);
        let Some(cool_down) = &mut self.cool_down else { return };
        match told {
            Some(end) if (cool_down.earliest..=cool_down.latest).contains(&end) => {
                (cool_down.earliest, cool_down.latest) = (end, end);
            }
            _ => {
                let (earliest, latest) = (cool_down.earliest, cool_down.latest);
                let says = format!("a cool-down until {earliest:?} to {latest:?}: step {step} is told {told:?}");
                self.stop(Stop::Disagrees(says));
            }
        }
    }
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

//! Holds every token request of one layer against what explains it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::{self, Handle},
    task,
};

use crate::mortal::has_ended;

/// Things done to a layer that make another flight right at any time: a rotation, a forced refresh, a rejection through
/// the handle. They take effect between their beginning and their end.
#[derive(Debug, Default)]
pub(crate) struct Excuses {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Excuses {
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, SeqCst);
    }

    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, SeqCst);
    }
}

/// The flights of one layer so far. A flight is a task of its own, and its tries are that task's.
#[derive(Debug)]
pub(crate) struct Flights {
    /// The layer's own excuses, and those of all layers of its world.
    excuses: [Arc<Excuses>; 2],
    lifetime: Duration,
    last: Option<Flight>,
    /// How many excuses had ended when the last flight but one did.
    excuses_before: u64,
}

#[derive(Debug)]
struct Flight {
    task: Option<task::Id>,
    /// The runtime that it runs in.
    home: runtime::Id,
    tries: u32,
    excuses: u64,
    asked: Instant,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    Token { number: u64, rejected: bool },
    Failure { at: Instant, failure: Failure },
}

/// What a layer has to wait for after a failure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failure {
    /// A refusal, or an answer that makes no sense: not to be tried again in the same flight.
    pub(crate) permanent: bool,
    /// Refusals keep a layer quiet for longer.
    pub(crate) refused: bool,
    pub(crate) retry_after: Duration,
}

/// Why there may be a token request, or why there may not.
pub(crate) type Verdict = Result<&'static str, String>;

impl Flights {
    pub(crate) fn new(own: &Arc<Excuses>, worlds: &Arc<Excuses>, lifetime: Duration) -> Self {
        let excuses = [Arc::clone(own), Arc::clone(worlds)];
        Self { excuses, lifetime, last: None, excuses_before: 0 }
    }

    /// The flight whose task this is called in sends a request.
    pub(crate) fn ask(&mut self) -> Verdict {
        let task = task::try_id();
        if let Some(last) = self.last.as_mut().filter(|last| last.task == task) {
            last.tries += 1;
            return last.try_again();
        }
        let verdict = self.explain();
        self.excuses_before = self.last.as_ref().map_or(0, |last| last.excuses);
        let home = Handle::current().id();
        self.last = Some(Flight { task, home, tries: 1, excuses: 0, asked: Instant::now(), end: None });
        verdict
    }

    /// Why there is a new flight. Where an excuse may apply, it does.
    fn explain(&self) -> Verdict {
        let Some(last) = &self.last else {
            return Ok("the first");
        };
        if has_ended(last.home) {
            // Perhaps before the flight was done.
            return Ok("the last flight's runtime was shut down");
        }
        if self.excuses.iter().map(|excuses| excuses.begun.load(SeqCst)).sum::<u64>() > self.excuses_before {
            return Ok("a rotation, a forced refresh");
        }
        match &last.end {
            None => Err("the last flight has not ended".to_owned()),
            Some(End::Token { rejected: true, .. }) => Ok("the last token was rejected"),
            Some(End::Token { number, .. }) => {
                let age = last.asked.elapsed();
                let old = age + PREEMPTION >= self.lifetime.mul_f64(EARLIEST_REFRESH);
                old.then_some("the last token was old")
                    .ok_or_else(|| format!("token {number} was good, and {age:?} old"))
            }
            Some(End::Failure { at, failure }) => failure.next_flight(at.elapsed()),
        }
    }

    pub(crate) fn brought(&mut self, number: u64) {
        self.end(End::Token { number, rejected: false });
    }

    pub(crate) fn failed(&mut self, failure: Failure) {
        self.end(End::Failure { at: Instant::now(), failure });
    }

    fn end(&mut self, end: End) {
        let ended = self.excuses.iter().map(|excuses| excuses.ended.load(SeqCst)).sum();
        if let Some(last) = &mut self.last {
            last.excuses = ended;
            last.end = Some(end);
        }
    }

    /// The API refused a request that carried this token.
    pub(crate) fn rejected(&mut self, token: u64) {
        if let Some(Flight { end: Some(End::Token { number, rejected }), .. }) = &mut self.last {
            *rejected |= *number == token;
        }
    }
}

impl Flight {
    fn try_again(&mut self) -> Verdict {
        match self.end.take() {
            _ if self.tries > ATTEMPTS => Err(format!("try {} of one flight", self.tries)),
            Some(End::Failure { at, failure }) => failure.next_try(at.elapsed()),
            Some(End::Token { number, .. }) => Err(format!("the flight that brought token {number} went on")),
            None => Err("two tries at once".to_owned()),
        }
    }
}

impl Failure {
    fn next_flight(self, passed: Duration) -> Verdict {
        let cool_down = if self.refused { 10 * FIRST_COOL_DOWN } else { FIRST_COOL_DOWN };
        // It is drawn from the half on.
        check(passed, (cool_down / 2).max(self.retry_after)).map(|()| "the last flight failed")
    }

    fn next_try(self, passed: Duration) -> Verdict {
        if self.permanent {
            return Err("another try after a permanent failure".to_owned());
        }
        check(passed, SHORTEST_BACK_OFF.max(self.retry_after)).map(|()| "another try")
    }
}

fn check(passed: Duration, wait: Duration) -> Result<(), String> {
    let over = passed + CLOCK_LAG >= wait;
    over.then_some(()).ok_or_else(|| format!("{passed:?} after a failure, {wait:?} at least"))
}

pub(crate) const REFRESH_AT: f64 = 0.75;
pub(crate) const JITTER: f64 = 0.05;
const EARLIEST_REFRESH: f64 = REFRESH_AT - JITTER;
pub(crate) const ATTEMPTS: u32 = 3;
pub(crate) const FIRST_COOL_DOWN: Duration = Duration::from_millis(300);
const SHORTEST_BACK_OFF: Duration = Duration::from_millis(100);
/// The layer reads the cheapest clock there is.
pub(crate) const CLOCK_LAG: Duration = Duration::from_millis(10);
/// The layer begins to count a token's age a little before the transport sees its request.
const PREEMPTION: Duration = Duration::from_millis(200);

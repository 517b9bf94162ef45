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

use crate::{
    budget::{Budget, BudgetSettings},
    runtimes::has_ended,
};

/// Things done to a layer that make another fetch right at any time: a rotation, a forced refresh, a token that is
/// invalidated through the handle. They take effect between their beginning and their end.
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

/// The fetches of one layer so far. Each fetch is a task, and its attempts are that task's.
#[derive(Debug)]
pub(crate) struct Fetches {
    /// The layer's own excuses, and those of all layers of its world.
    excuses: [Arc<Excuses>; 2],
    lifetime: Duration,
    last: Option<Fetch>,
    token: Option<Token>,
    budget: Budget,
    /// How many excuses had ended when the last fetch but one that brought a token did.
    excuses_before: u64,
}

#[derive(Debug)]
struct Fetch {
    task: Option<task::Id>,
    /// The runtime that it runs in.
    runtime: runtime::Id,
    attempts: u32,
    /// Whether a refused client has tried again at once: with the secret before a rotation (guarantee T14), or with an
    /// assertion by the clock of the response.
    has_tried_again: bool,
    excuses: u64,
    asked: Instant,
    end: Option<End>,
}

/// The newest token.
#[derive(Debug)]
struct Token {
    number: u64,
    asked: Instant,
    /// Responses that may have rejected it, and fetches that these explain: each explains one.
    rejections: u32,
    renewals: u32,
}

#[derive(Debug)]
enum End {
    Token(u64),
    Failure { at: Instant, failure: Failure },
}

/// What a layer has to wait for after a failure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failure {
    /// A refusal, or a response that makes no sense: never attempted again in the same fetch, and followed by a longer
    /// backoff.
    pub(crate) permanent: bool,
    /// A refusal of the client, which may try again at once, in the same fetch.
    pub(crate) unknown_client: bool,
    pub(crate) retry_after: Duration,
}

/// Why there may be a token request, or why there may not.
pub(crate) type Verdict = Result<&'static str, String>;

impl Fetches {
    pub(crate) fn new(excuses: [Arc<Excuses>; 2], lifetime: Duration, budget: BudgetSettings) -> Self {
        let budget = Budget::new(budget);
        Self { excuses, lifetime, last: None, token: None, budget, excuses_before: 0 }
    }

    /// The fetch whose task this is called in sends a request.
    pub(crate) fn ask(&mut self) -> Verdict {
        let task = task::try_id();
        if let Some(last) = self.last.as_mut().filter(|last| last.task == task) {
            last.attempts += 1;
            return last.attempt_again();
        }
        let asked = Instant::now();
        self.budget.failed(asked);
        let verdict = self.explain(asked);
        if let Some(Fetch { end: Some(End::Token(_)), excuses, .. }) = self.last {
            self.excuses_before = excuses;
        }
        let runtime = Handle::current().id();
        self.last = Some(Fetch { task, runtime, attempts: 1, has_tried_again: false, excuses: 0, asked, end: None });
        verdict
    }

    /// Why there is a new fetch. Where an excuse may apply, it does.
    fn explain(&mut self, now: Instant) -> Verdict {
        let Some(last) = &self.last else {
            return Ok("the first");
        };
        if has_ended(last.runtime) {
            // Perhaps before the fetch was done.
            return Ok("the last fetch's runtime was shut down");
        }
        if self.excuses.iter().map(|excuses| excuses.begun.load(SeqCst)).sum::<u64>() > self.excuses_before {
            return Ok("a rotation, or the handle");
        }
        match &last.end {
            None => return Err("the last fetch has not ended".to_owned()),
            Some(End::Failure { at, failure }) => failure.allows_fetch(now - *at)?,
            Some(End::Token(_)) => {}
        }
        let Some(token) = &mut self.token else {
            return Ok("no token yet");
        };
        let age = now - token.asked;
        if age + PREEMPTION >= self.lifetime.mul_f64(EARLIEST_REFRESH) {
            return Ok("the last token was old");
        }
        if token.rejections == token.renewals {
            return Err(format!("token {} was {age:?} old, with {} rejections", token.number, token.rejections));
        }
        if !self.budget.take(token.number, now) {
            return Err(format!("the renewal budget was used up: {:?}", self.budget));
        }
        token.renewals += 1;
        Ok("a rejection")
    }

    pub(crate) fn brought(&mut self, number: u64) {
        if let Some(Fetch { asked, .. }) = self.last {
            self.token = Some(Token { number, asked, rejections: 0, renewals: 0 });
        }
        self.budget.brought(number, Instant::now());
        self.end(End::Token(number));
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

    /// A response may have rejected this token.
    pub(crate) fn rejected(&mut self, number: u64) {
        if let Some(token) = self.token.as_mut().filter(|token| token.number == number) {
            token.rejections += 1;
        }
    }

    /// A response may have accepted this token.
    pub(crate) fn accepted(&mut self, number: u64) {
        self.budget.accepted(number, Instant::now());
    }
}

impl Fetch {
    fn attempt_again(&mut self) -> Verdict {
        match self.end.take() {
            Some(End::Failure { failure, .. }) if failure.unknown_client && !self.has_tried_again => {
                self.attempts -= 1;
                self.has_tried_again = true;
                Ok("another try of a client that was refused")
            }
            _ if self.attempts > ATTEMPTS => Err(format!("attempt {} of one fetch", self.attempts)),
            Some(End::Failure { at, failure }) => failure.allows_attempt(at.elapsed()),
            Some(End::Token(number)) => Err(format!("the fetch that brought token {number} went on")),
            None => Err("two attempts at once".to_owned()),
        }
    }
}

impl Failure {
    fn allows_fetch(self, passed: Duration) -> Result<(), String> {
        let backoff = if self.permanent { REFUSAL_BACKOFF } else { FAILURE_BACKOFF };
        // It is drawn from the half on.
        check(passed, (backoff.0 / 2).max(self.retry_after))
    }

    fn allows_attempt(self, passed: Duration) -> Verdict {
        if self.permanent {
            return Err("another attempt after a permanent failure".to_owned());
        }
        check(passed, SHORTEST_PAUSE.max(self.retry_after)).map(|()| "another attempt")
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
/// First and longest.
pub(crate) const FAILURE_BACKOFF: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(600));
pub(crate) const REFUSAL_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// The layer's clock counts in milliseconds.
pub(crate) const CLOCK_LAG: Duration = Duration::from_millis(10);
/// The layer begins to count a token's age a little before the transport sees its request.
const PREEMPTION: Duration = Duration::from_millis(200);

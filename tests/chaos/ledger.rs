//! What the oracle knows of one layer: its token requests, its tokens, and the newest of them that was seen in use.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use http::StatusCode;

use crate::{
    budget::BudgetSettings,
    fetches::{CLOCK_LAG, Excuses, Failure, Fetches},
    tally::{Check, Row, Tally},
};

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) tally: Arc<Tally>,
    pub(crate) excuses: Arc<Excuses>,
    name: String,
    lifetime: Duration,
    tokens: Mutex<HashMap<String, Known>>,
    /// The newest token that a request has left with.
    newest_in_use: AtomicU64,
    fetches: Mutex<Fetches>,
    under_way: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// In the order in which the answers came. One layer's fetches follow each other, so it is that of the fetches too.
    number: u64,
    /// The server counts the lifetime from a later moment on. None if the token came so late that nothing was left of it:
    /// those who waited may use it all the same, once.
    end: Option<Instant>,
}

/// A moment at which the layer began to do something, and what was known then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    began: Instant,
    newest_in_use: u64,
}

/// A token request on its way.
pub(crate) struct UnderWay {
    ledger: Arc<Ledger>,
    asked: Instant,
    ended: bool,
}

impl Ledger {
    pub(crate) fn new(
        name: &str,
        tally: &Arc<Tally>,
        worlds: &Arc<Excuses>,
        lifetime: Duration,
        budget: BudgetSettings,
    ) -> Arc<Self> {
        let excuses: Arc<Excuses> = Arc::default();
        Arc::new(Self {
            tally: Arc::clone(tally),
            fetches: Mutex::new(Fetches::new([Arc::clone(&excuses), Arc::clone(worlds)], lifetime, budget)),
            excuses,
            name: name.to_owned(),
            lifetime,
            tokens: Mutex::default(),
            newest_in_use: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn step(&self) -> Step {
        Step { began: Instant::now(), newest_in_use: self.newest_in_use.load(SeqCst) }
    }

    /// The request counts as under way until its answer has been read, or its fetch has given it up: when a runtime is
    /// shut down, that is when the fetch's task is dropped, which is before a caller hears that the fetch has ended.
    pub(crate) fn ask(self: &Arc<Self>) -> UnderWay {
        let others = self.under_way.fetch_add(1, SeqCst);
        if others > 0 {
            self.violated(Check::SingleFlight, format!("{} at once", others + 1));
        }
        match self.fetches().ask() {
            Ok(why) => self.tally.count(Row::Tokens, format!("asked for: {why}")),
            Err(why) => self.violated(Check::TokensExplained, why),
        }
        UnderWay { ledger: Arc::clone(self), asked: Instant::now(), ended: false }
    }

    /// A request left with this token, in this step.
    ///
    /// Nothing here depends on how soon the operating system lets a thread go on: what the layer decided in this step, it
    /// decided after the step began. So a token that had ended by then was dead when it was chosen; and if a request had
    /// left with a newer one by then, that one had been published.
    pub(crate) fn left_with(&self, token: &str, step: Step) {
        let Some(known) = self.known(token) else {
            self.violated(Check::CredentialsPresent, "a token that this layer never got");
            return;
        };
        if let Some(end) = known.end.filter(|end| step.began > *end + CLOCK_LAG) {
            let late = step.began - end;
            self.violated(Check::TokensAlive, format!("token {} left {late:?} after its end", known.number));
        }
        if known.number < step.newest_in_use {
            let newest = step.newest_in_use;
            self.violated(Check::TokensAlive, format!("token {} left after token {newest} had", known.number));
        }
        self.newest_in_use.fetch_max(known.number, SeqCst);
    }

    /// A response to a request with this token may have rejected or accepted it.
    pub(crate) fn answered(&self, token: &str, status: StatusCode) {
        let Some(Known { number, .. }) = self.known(token) else {
            return;
        };
        let mut fetches = self.fetches();
        if [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&status) {
            fetches.rejected(number);
        }
        // A 400 whose body is cut off rejects nothing.
        if status != StatusCode::UNAUTHORIZED {
            fetches.accepted(number);
        }
    }

    pub(crate) fn violated(&self, check: Check, what: impl AsRef<str>) {
        self.tally.violated(check, format!("{}: {}", self.name, what.as_ref()));
    }

    fn known(&self, token: &str) -> Option<Known> {
        lock(&self.tokens).get(token).copied()
    }

    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        lock(&self.fetches)
    }
}

impl UnderWay {
    pub(crate) fn brought(mut self, token: String) {
        let ledger = Arc::clone(&self.ledger);
        let end = Some(self.asked + ledger.lifetime);
        let end = end.filter(|_| self.asked.elapsed() < ledger.lifetime.mul_f64(0.9));
        let mut tokens = lock(&ledger.tokens);
        let number = tokens.len() as u64 + 1;
        tokens.insert(token, Known { number, end });
        drop(tokens);
        ledger.fetches().brought(number);
        self.ended = true;
    }

    pub(crate) fn failed(mut self, failure: Failure) {
        self.ledger.fetches().failed(failure);
        self.ended = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.ended {
            self.ledger.fetches().failed(Failure::default());
        }
        self.ledger.under_way.fetch_sub(1, SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

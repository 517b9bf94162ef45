//! The current token and the fetch under way: a state machine without I/O.

#[cfg(all(test, auth_model))]
mod model;
mod state;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::HeaderValue;

pub(crate) use self::state::Asker;
pub(super) use self::state::Record;
use self::state::{Standing, State};
use crate::{
    error::AuthError,
    rejection::NotReplayed,
    time::{Instant, Moment, RequestClock, RequestTime, nanos},
    token::{
        AccessToken,
        budget::{Budget, SentWith},
        cached::CachedToken,
        policy::Life,
        sync::{AtomicBool, Guard, Mutex, MutexGuard, Swap},
        waiters::{Flight, Trigger, Waiter},
    },
};

/// What a caller gets who wants a token.
pub(crate) enum Answer {
    Usable(Arc<CachedToken>),
    Joined(Waiter),
    /// The caller has to run this fetch, and to finish it.
    Begun(Waiter, Arc<Flight>),
    BackingOff(AuthError),
    /// There is no fetch to join, and none can be run here.
    NoRuntime,
}

/// What to do about a rejected request (guarantee R5).
pub(crate) enum AfterRejection {
    /// Replay it at once, with the current token.
    ReplayNow,
    Wait(Waiter),
    /// The same, and the caller has to run this fetch.
    Begun(Waiter, Arc<Flight>),
    /// Return the response to its caller.
    Return(NotReplayed),
}

/// How a fetch ended.
pub(crate) enum End {
    Token {
        token: Box<AccessToken>,
        header: HeaderValue,
        life: Life,
    },
    Failed {
        error: AuthError,
        backoff: Duration,
    },
    /// Its runtime ended: nothing is known about the server, so nothing holds the next fetch back.
    Aborted(AuthError),
}

/// The token of a layer.
#[derive(Debug)]
pub(crate) struct TokenCache {
    pub(crate) clock: RequestClock,
    /// What requests carry. Changed under the lock only.
    current: Swap<CachedToken>,
    /// Whether the next acceptance of a token changes the state.
    awaits_acceptance: AtomicBool,
    /// Never held across an await, nor while foreign code runs or is dropped.
    state: Mutex<State>,
    /// How long a fetch may be under way.
    fetch_limit: Duration,
}

impl TokenCache {
    pub(super) fn new((burst, refill): (u32, Duration), fetch_limit: Duration) -> Self {
        Self {
            clock: RequestClock::new(),
            current: Swap::default(),
            awaits_acceptance: AtomicBool::new(false),
            state: Mutex::new(State::new(Budget::new(burst, refill))),
            fetch_limit,
        }
    }

    /// The current token, usable or not. The guard must not live across an await.
    #[inline]
    pub(crate) fn current(&self) -> Guard<CachedToken> {
        self.current.load()
    }

    pub(crate) fn usable(&self, now: Moment) -> Option<Arc<CachedToken>> {
        self.current.load_full().filter(|token| token.usable_age(self.clock.at(now)).is_some())
    }

    /// The same by the clock of requests, which costs less to read.
    pub(crate) fn usable_at(&self, now: RequestTime) -> Option<Arc<CachedToken>> {
        self.current.load_full().filter(|token| token.usable_age(now).is_some())
    }

    /// A usable token, or a place among those who wait for one.
    pub(crate) fn ask(&self, trigger: Trigger, asker: Asker) -> Answer {
        let mut state = self.state();
        if let Some(token) = self.usable(asker.now).filter(|token| trigger.takes(token)) {
            return Answer::Usable(token);
        }
        if let Some(flight) = &state.flight {
            return Answer::Joined(Waiter::new(Arc::clone(flight)));
        }
        if trigger != Trigger::Forced
            && let Some(backoff) = state.backoff(asker)
        {
            return Answer::BackingOff(backoff.error_at(asker.now.instant));
        }
        if asker.runtime.is_none() {
            return Answer::NoRuntime;
        }
        let flight = state.begin(trigger, asker, self.fetch_limit);
        Answer::Begun(Waiter::new(Arc::clone(&flight)), flight)
    }

    /// A fetch for the caller to run, if the successor of the current token is due and nobody fetches it yet.
    pub(crate) fn refresh_if_due(&self, trigger: Trigger, asker: Asker) -> Option<Arc<Flight>> {
        let mut state = self.state();
        let current = self.current.load_full()?;
        let due = current.needs_refresh(nanos(current.age(asker.now)), asker.generation);
        if !due || asker.runtime.is_none() || state.flight.is_some() {
            return None;
        }
        let trigger = if current.is_outdated(asker.generation) { Trigger::Rotated } else { trigger };
        Some(state.begin(trigger, asker, self.fetch_limit))
    }

    /// A response rejected the token of its request; `replayable` says whether that can be sent again.
    pub(crate) fn rejected(&self, sent: SentWith, replayable: bool, asker: Asker) -> AfterRejection {
        let mut state = self.state();
        let is_newest = state.is_newest(sent.version);
        if is_newest {
            state.rejections_in_a_row = state.rejections_in_a_row.saturating_add(1);
            self.awaits_acceptance.store(true, Relaxed);
        }
        let trigger = Trigger::Rejected { version: sent.version };
        let usable = self.usable(asker.now);
        if usable.is_some() && !is_newest {
            return AfterRejection::ReplayNow;
        }
        // R2: a rejection of an earlier token says nothing about the newest one.
        let is_first = !is_newest || state.rejections_in_a_row <= 1;
        if let Some(flight) = state.flight.clone() {
            if !is_first {
                self.retire(&mut state);
            }
            return AfterRejection::Wait(Waiter::new(flight));
        }
        let not_now = |reason| {
            let replay = usable.is_some() && is_first;
            if replay { AfterRejection::ReplayNow } else { AfterRejection::Return(reason) }
        };
        if asker.runtime.is_none() || state.backoff(asker).is_some() {
            return not_now(NotReplayed::FetchFailed);
        }
        // Where no token is usable, any request would begin a fetch.
        if let Some(token) = &usable
            && !state.budget.take(token.version, replayable, asker.now.instant)
        {
            return not_now(NotReplayed::Throttled);
        }
        if !is_first {
            self.retire(&mut state);
        }
        let flight = state.begin(trigger, asker, self.fetch_limit);
        AfterRejection::Begun(Waiter::new(Arc::clone(&flight)), flight)
    }

    /// Whether anything depends on whether requests are accepted: almost never.
    #[inline]
    pub(crate) fn awaits_acceptance(&self) -> bool {
        self.awaits_acceptance.load(Relaxed)
    }

    /// A response accepted the token of its request.
    pub(crate) fn accepted(&self, sent: SentWith) {
        if self.awaits_acceptance() {
            self.note_acceptance(sent, crate::time::instant());
        }
    }

    #[cold]
    pub(crate) fn note_acceptance(&self, sent: SentWith, now: Instant) {
        let mut state = self.state();
        if state.is_newest(sent.version) {
            state.rejections_in_a_row = 0;
        }
        state.budget.accepted(sent, now);
        self.awaits_acceptance.store(state.awaits_acceptance(), Relaxed);
    }

    /// A replayed request was rejected too, or there was nothing new to replay it with.
    pub(crate) fn replay_rejected(&self, version: u32, now: Instant) {
        let mut state = self.state();
        if state.is_newest(version) {
            state.rejections_in_a_row = state.rejections_in_a_row.saturating_add(1);
            self.awaits_acceptance.store(true, Relaxed);
        }
        state.budget.replay_rejected(version, now);
    }

    /// Takes this token out of use for good, if it is the current one.
    pub(crate) fn invalidate(&self, token: &AccessToken) {
        let mut state = self.state();
        if state.newest.as_ref().is_some_and(|newest| newest.token.has_value_of(token)) {
            state.standing = Standing::Invalidated;
            self.current.store(None);
        }
    }

    /// Whether a warning is due that tokens are rejected as fast as they are renewed.
    pub(crate) fn warns_of_throttling(&self) -> bool {
        self.state().budget.warns()
    }

    /// Ends the fetch: publishes its token, or begins a backoff; then wakes everyone who waited.
    pub(crate) fn finish(&self, flight: &Arc<Flight>, end: End, now: Moment) {
        let mut state = self.state();
        if !state.flight.as_ref().is_some_and(|current| Arc::ptr_eq(current, flight)) {
            return;
        }
        let ended = state.flight.take();
        // Errors hold foreign ones, which must not be dropped under the lock.
        let replaced = (state.backoff.take(), state.record.last_error.take());
        let outcome = match end {
            End::Token { token, header, life } => {
                let created = self.clock.at(token.created());
                let previous = state.newest.as_deref();
                let generation = flight.generation.max(token.generation().unwrap_or(0));
                let token = CachedToken::new(*token, header, life, created, previous, generation);
                Ok(self.add(&mut state, token, now.instant))
            }
            End::Failed { error, backoff } => {
                self.bring_back(&mut state);
                Err(state.fail(error, Some(backoff), flight.generation, now))
            }
            End::Aborted(error) => Err(state.fail(error, None, flight.generation, now)),
        };
        self.awaits_acceptance.store(state.awaits_acceptance(), Relaxed);
        drop(state);
        flight.complete(outcome);
        drop((ended, replaced));
    }

    /// The fetch that should have ended long ago.
    pub(super) fn overdue(&self, now: Instant) -> Option<Arc<Flight>> {
        self.state().flight.clone().filter(|flight| now >= flight.overdue)
    }

    /// Whether a backoff lasts, by time alone: a rotation that ends it is known to who asks for a token.
    pub(crate) fn is_backing_off(&self, now: Instant) -> bool {
        self.state().backoff.as_ref().is_some_and(|backoff| backoff.left(now) > Duration::ZERO)
    }

    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.state().failures_in_a_row
    }

    pub(super) fn record(&self) -> Record {
        self.state().record.clone()
    }

    /// The time until a fetch is due for want of a usable, fresh token; `None` while one is under way.
    pub(super) fn fetch_due_in(&self, now: Moment) -> Option<Duration> {
        let state = self.state();
        let due = self.current.load_full().map_or(Duration::ZERO, |token| token.due_in(now));
        let backoff = state.backoff.as_ref().map_or(Duration::ZERO, |backoff| backoff.left(now.instant));
        state.flight.is_none().then(|| due.max(backoff))
    }

    fn add(&self, state: &mut State, token: CachedToken, now: Instant) -> Arc<CachedToken> {
        let added = Arc::new(token);
        self.current.store(Some(Arc::clone(&added)));
        state.add(Arc::clone(&added), now);
        added
    }

    fn retire(&self, state: &mut State) {
        if state.standing == Standing::InUse {
            state.standing = Standing::Retired;
            self.current.store(None);
        }
    }

    /// A rejected token is better than none, while it lives.
    fn bring_back(&self, state: &mut State) {
        if state.standing == Standing::Retired {
            state.standing = Standing::InUse;
            self.current.store(state.newest.clone());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

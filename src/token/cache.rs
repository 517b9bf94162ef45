//! The current token and the fetch under way: a state machine without I/O.

use std::{
    mem,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::HeaderValue;

use crate::{
    error::AuthError,
    rejection::NotReplayed,
    time::{Instant, Moment, RequestTime, after, nanos},
    token::{
        AccessToken,
        budget::{Budget, SentWith},
        cached::CachedToken,
        policy::{Life, MIN_FETCH_INTERVAL},
        sync::{AtomicBool, Guard, Mutex, MutexGuard, Swap},
        waiters::{Flight, Trigger, Waiter},
    },
};

/// Who asks: what the cache has to know about the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) now: Moment,
    pub(crate) generation: u64,
    /// Whether there is a runtime to run a fetch in.
    pub(crate) can_fetch: bool,
}

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
#[expect(clippy::large_enum_variant, reason = "there is one for each fetch, and it is taken apart at once")]
pub(crate) enum End {
    Token {
        token: AccessToken,
        header: HeaderValue,
        life: Life,
        created: RequestTime,
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
    /// What requests carry. Changed under the lock only.
    current: Swap<CachedToken>,
    /// Whether the next acceptance of a token changes the state.
    awaits_acceptance: AtomicBool,
    /// Never held across an await, nor while foreign code runs or is dropped.
    state: Mutex<State>,
    /// How long a fetch may be under way.
    fetch_limit: Duration,
}

#[derive(Debug)]
struct State {
    flight: Option<Arc<Flight>>,
    /// The newest token, in use or not.
    newest: Option<Arc<CachedToken>>,
    standing: Standing,
    /// Of the newest token, without an acceptance between them.
    rejections_in_a_row: u32,
    budget: Budget,
    /// Whether a warning was given since the budget was last full.
    has_warned: bool,
    backoff: Option<Backoff>,
    failures_in_a_row: u32,
    record: Record,
}

/// What becomes of the newest token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    InUse,
    /// Rejected twice in a row. It comes back into use if the fetch of its successor fails.
    Retired,
    /// By the user, for good.
    Invalidated,
}

#[derive(Debug)]
struct Backoff {
    until: Instant,
    generation: u64,
    error: AuthError,
}

/// What is counted for `TokenStatus`.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) issued: u64,
    pub(super) failures: u64,
    /// `None` if the last fetch brought a token.
    pub(super) last_error: Option<AuthError>,
}

impl TokenCache {
    pub(super) fn new((burst, refill): (u32, Duration), fetch_limit: Duration) -> Self {
        let state = State {
            flight: None,
            newest: None,
            standing: Standing::InUse,
            rejections_in_a_row: 0,
            budget: Budget::new(burst, refill),
            has_warned: false,
            backoff: None,
            failures_in_a_row: 0,
            record: Record::default(),
        };
        Self {
            current: Swap::default(),
            awaits_acceptance: AtomicBool::new(false),
            state: Mutex::new(state),
            fetch_limit,
        }
    }

    /// The current token, usable or not. The guard must not live across an await.
    #[inline]
    pub(crate) fn current(&self) -> Guard<CachedToken> {
        self.current.load()
    }

    pub(crate) fn usable(&self, now: Moment) -> Option<Arc<CachedToken>> {
        self.current.load_full().filter(|token| token.is_usable(now))
    }

    /// A usable token, or a place among those who wait for one.
    pub(crate) fn ask(&self, trigger: Trigger, asker: Asker) -> Answer {
        let mut state = self.state();
        let forced = trigger == Trigger::Forced;
        if !forced && let Some(token) = self.usable(asker.now) {
            return Answer::Usable(token);
        }
        if let Some(flight) = &state.flight {
            return Answer::Joined(Waiter::new(Arc::clone(flight)));
        }
        if !forced && let Some(backoff) = state.backoff(asker) {
            return Answer::BackingOff(backoff.error_at(asker.now.instant));
        }
        if !asker.can_fetch {
            return Answer::NoRuntime;
        }
        let is_gone = state.standing != Standing::InUse;
        let flight = self.begin(&mut state, trigger, forced || is_gone, asker);
        Answer::Begun(Waiter::new(Arc::clone(&flight)), flight)
    }

    /// A fetch for the caller to run, if the successor of the current token is due and nobody fetches it yet.
    pub(crate) fn refresh_if_due(&self, trigger: Trigger, asker: Asker) -> Option<Arc<Flight>> {
        let mut state = self.state();
        let current = self.current.load_full()?;
        let due = current.needs_refresh(nanos(current.age(asker.now)), asker.generation);
        if !due || !asker.can_fetch || state.flight.is_some() {
            return None;
        }
        let trigger = if current.is_outdated(asker.generation) { Trigger::Rotated } else { trigger };
        Some(self.begin(&mut state, trigger, false, asker))
    }

    /// A response rejected the token of its request; `replayable` says whether that can be sent again.
    pub(crate) fn rejected(&self, sent: SentWith, replayable: bool, asker: Asker) -> AfterRejection {
        let mut state = self.state();
        let is_newest = state.newest.as_ref().is_some_and(|newest| newest.has_value_of_version(sent.version));
        if is_newest {
            state.rejections_in_a_row = state.rejections_in_a_row.saturating_add(1);
            self.awaits_acceptance.store(true, Relaxed);
        }
        let usable = self.usable(asker.now);
        if usable.is_some() && !is_newest {
            return AfterRejection::ReplayNow;
        }
        let is_first = state.rejections_in_a_row <= 1;
        if let Some(flight) = state.flight.clone() {
            if is_newest && !is_first {
                self.retire(&mut state);
            }
            return AfterRejection::Wait(Waiter::new(flight));
        }
        let not_now = |reason| {
            let replay = usable.is_some() && is_first;
            if replay { AfterRejection::ReplayNow } else { AfterRejection::Return(reason) }
        };
        if !asker.can_fetch || state.backoff(asker).is_some() {
            return not_now(NotReplayed::FetchFailed);
        }
        // Where no token is usable, any request would begin a fetch.
        if let Some(token) = &usable
            && !state.budget.take(token.version, replayable, asker.now.instant)
        {
            return not_now(NotReplayed::Throttled);
        }
        if is_newest && !is_first {
            self.retire(&mut state);
        }
        let flight = self.begin(&mut state, Trigger::Rejected, true, asker);
        AfterRejection::Begun(Waiter::new(Arc::clone(&flight)), flight)
    }

    /// A response accepted the token of its request.
    #[inline]
    pub(crate) fn accepted(&self, sent: SentWith) {
        if self.awaits_acceptance.load(Relaxed) {
            self.note_acceptance(sent, crate::time::instant());
        }
    }

    #[cold]
    fn note_acceptance(&self, sent: SentWith, now: Instant) {
        let mut state = self.state();
        if state.newest.as_ref().is_some_and(|newest| newest.has_value_of_version(sent.version)) {
            state.rejections_in_a_row = 0;
        }
        state.budget.accepted(sent, now);
        self.awaits_acceptance.store(state.awaits_acceptance(), Relaxed);
    }

    /// A replayed request was rejected too, or there was nothing new to replay it with.
    pub(crate) fn replay_rejected(&self, version: u32, now: Instant) {
        let mut state = self.state();
        if state.newest.as_ref().is_some_and(|newest| newest.has_value_of_version(version)) {
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

    /// Whether a warning is due that tokens are rejected as fast as they are renewed: once, until the budget is full again.
    pub(crate) fn warns_of_throttling(&self, now: Instant) -> bool {
        let mut state = self.state();
        if state.budget.is_full(now) {
            state.has_warned = false;
        }
        !mem::replace(&mut state.has_warned, true)
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
            End::Token { token, header, life, created } => {
                let previous = state.newest.as_deref();
                let token = CachedToken::new(token, header, life, created, previous, flight.generation);
                let added = self.add(&mut state, token);
                state.budget.fetched(added.version, now.instant);
                Ok(added)
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

    fn begin(&self, state: &mut State, trigger: Trigger, is_rejected: bool, asker: Asker) -> Arc<Flight> {
        // It may have been retired just now, and come back when this fetch has failed.
        if let Some(newest) = &state.newest {
            let overdue_age = newest.age(asker.now).saturating_add(self.fetch_limit);
            newest.refresh_started(asker.generation, overdue_age);
        }
        let rejected = state.newest.as_ref().filter(|_| is_rejected).map(|newest| newest.token.clone());
        let overdue = after(asker.now.instant, self.fetch_limit);
        let flight = Arc::new(Flight::new(trigger, asker.generation, rejected, overdue));
        state.flight = Some(Arc::clone(&flight));
        flight
    }

    fn add(&self, state: &mut State, token: CachedToken) -> Arc<CachedToken> {
        let added = Arc::new(token);
        self.current.store(Some(Arc::clone(&added)));
        state.newest = Some(Arc::clone(&added));
        state.standing = Standing::InUse;
        state.rejections_in_a_row = 0;
        state.failures_in_a_row = 0;
        state.record.issued = added.version.into();
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

impl State {
    /// The backoff, while it lasts. A rotation of the secret ends it: the failure was the old secret's.
    fn backoff(&self, asker: Asker) -> Option<&Backoff> {
        let lasts = |backoff: &&Backoff| asker.now.instant < backoff.until && asker.generation <= backoff.generation;
        self.backoff.as_ref().filter(lasts)
    }

    /// Notes a failed fetch; the error as those who waited get it. Without a backoff the next fetch may begin at once, but
    /// for an early one.
    fn fail(&mut self, error: AuthError, backoff: Option<Duration>, generation: u64, now: Moment) -> AuthError {
        self.budget.fetch_failed(now.instant);
        self.record.failures = self.record.failures.saturating_add(1);
        self.record.last_error = Some(error.clone());
        if let Some(newest) = &self.newest {
            let until = newest.age(now).saturating_add(backoff.unwrap_or(MIN_FETCH_INTERVAL));
            newest.postpone_refresh(until, generation);
        }
        let Some(wait) = backoff else {
            return error;
        };
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let backoff = Backoff { until: after(now.instant, wait), generation, error };
        let told = backoff.error_at(now.instant);
        self.backoff = Some(backoff);
        told
    }

    fn awaits_acceptance(&self) -> bool {
        self.rejections_in_a_row > 0 || self.budget.awaits_acceptance()
    }
}

impl Backoff {
    fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// The error, telling how long the backoff still lasts.
    fn error_at(&self, now: Instant) -> AuthError {
        self.error.clone().with_retry_after(Some(self.left(now)))
    }
}

//! Runs one token fetch at a time: attempts, publish, wake.

#[cfg(all(test, auth_model))]
mod model;

use std::{fmt, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Notify};

use crate::{
    error::{AuthError, ErrorKind},
    rejection::NotReplayed,
    server_clocks::ServerClocks,
    telemetry::{self, FetchSpan},
    time::{self, Instant, Moment, nanos},
    token::{
        AccessToken, FetchRequest, RefreshPolicy, TokenSource,
        budget::SentWith,
        cache::{AfterRejection, Answer, Asker, End, TokenCache},
        cached::CachedToken,
        policy,
        report::Report,
        source, sync,
        waiters::{Flight, Trigger, Waiter},
    },
};

/// The token of one layer and of everything that was made from it.
pub(crate) struct Fetcher {
    pub(crate) cache: TokenCache,
    pub(crate) clocks: ServerClocks,
    /// Notified when a fetch has ended or a token was invalidated.
    pub(super) changed: Notify,
    source: Box<dyn TokenSource>,
    policy: RefreshPolicy,
    /// Drawn once.
    refresh_at: f64,
    /// What precedes the token in its header; `None` for `Bearer`.
    scheme: Option<String>,
    name: &'static str,
}

/// What is left to do about a rejected request.
pub(crate) enum Renewal {
    ReplayNow,
    Wait(Waiter),
    Return(NotReplayed),
}

impl Fetcher {
    pub(crate) fn new(
        source: Box<dyn TokenSource>,
        policy: RefreshPolicy,
        scheme: Option<String>,
        name: &'static str,
    ) -> Self {
        Self {
            cache: TokenCache::new(policy.budget(), policy.fetch_deadline().saturating_add(GRACE)),
            clocks: ServerClocks::default(),
            changed: Notify::new(),
            refresh_at: policy.draw_refresh_at(fastrand::f64()),
            source,
            policy,
            scheme,
            name,
        }
    }

    /// The layer's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.source.generation()
    }

    /// The usable token, or a place among those who wait for it; a fetch is begun if there is none to join.
    pub(super) fn ask(self: &Arc<Self>, trigger: Trigger) -> Result<Result<Arc<CachedToken>, Waiter>, AuthError> {
        let asker = self.asker();
        match self.cache.ask(trigger, asker) {
            Answer::Usable(token) => {
                self.refresh_if_due(&token, nanos(token.age(asker.now)));
                Ok(Ok(token))
            }
            Answer::Joined(waiter) if waiter.flight().overdue <= asker.now.instant => {
                self.abandon_overdue();
                self.ask(trigger)
            }
            Answer::Joined(waiter) => Ok(Err(waiter)),
            Answer::Begun(waiter, flight) => {
                self.run(flight);
                Ok(Err(waiter))
            }
            Answer::BackingOff(error) => Err(error),
            Answer::NoRuntime => Err(AuthError::config("no tokio runtime: tokens can only be fetched within one")),
        }
    }

    /// Begins the refresh of a token that was just found usable, if it is due. Waits for nothing. `age` is in nanoseconds.
    #[inline]
    pub(crate) fn refresh_if_due(self: &Arc<Self>, token: &CachedToken, age: u64) {
        if token.needs_refresh(age, self.generation()) {
            self.start_refresh(Trigger::Stale);
        }
    }

    /// A response rejected the token of its request: renews it within the budget.
    pub(crate) fn rejected(self: &Arc<Self>, sent: SentWith, replayable: bool) -> Renewal {
        self.abandon_overdue();
        match self.cache.rejected(sent, replayable, self.asker()) {
            AfterRejection::ReplayNow => Renewal::ReplayNow,
            AfterRejection::Wait(waiter) => Renewal::Wait(waiter),
            AfterRejection::Begun(waiter, flight) => {
                self.run(flight);
                Renewal::Wait(waiter)
            }
            AfterRejection::Return(reason) => {
                if reason == NotReplayed::Throttled && self.cache.warns_of_throttling() {
                    telemetry::throttled(self.name);
                }
                Renewal::Return(reason)
            }
        }
    }

    /// Begins the fetch that is due, if one is. For `keep_warm`, which waits for nothing.
    pub(super) fn keep_warm(self: &Arc<Self>) {
        self.abandon_overdue();
        match self.cache.ask(Trigger::KeepWarm, self.asker()) {
            Answer::Usable(_) => self.start_refresh(Trigger::KeepWarm),
            Answer::Begun(_, flight) => self.run(flight),
            Answer::Joined(_) | Answer::BackingOff(_) | Answer::NoRuntime => {}
        }
    }

    /// Ends a fetch that should have ended long ago: its runtime is not driven any more.
    pub(super) fn abandon_overdue(&self) {
        if let Some(flight) = self.cache.overdue(time::instant()) {
            let why = "the runtime that fetched the token is not driven any more; keep it running, or use one runtime";
            self.finish(&flight, End::Aborted(AuthError::new(ErrorKind::Aborted, why)));
        }
    }

    pub(super) fn invalidate(&self, token: &AccessToken) {
        self.cache.invalidate(token);
        self.changed.notify_waiters();
    }

    #[cold]
    fn start_refresh(self: &Arc<Self>, trigger: Trigger) {
        self.abandon_overdue();
        if let Some(flight) = self.cache.refresh_if_due(trigger, self.asker()) {
            self.run(flight);
        }
    }

    fn asker(&self) -> Asker {
        let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
        Asker { now: Moment::now(), generation: self.generation(), runtime }
    }

    /// Runs the fetch as a task of its own, which no caller can cancel.
    fn run(self: &Arc<Self>, flight: Arc<Flight>) {
        let span = FetchSpan::new(self.name, flight.trigger.name());
        let mut guard = FetchGuard::new(Arc::clone(self), flight, span.clone());
        if !time::has_timers() {
            // Another runtime may have some, so nothing holds its fetch back.
            return guard.complete(End::Aborted(time::no_timers()));
        }
        if let Ok(runtime) = Handle::try_current() {
            sync::spawn(&runtime, span.around(guard.run()));
        }
    }

    /// Attempts until there is a token or a reason to stop; `failure` is what the last attempt but one met with.
    async fn fetch(
        &self,
        flight: &Flight,
        span: &FetchSpan,
        failure: &mut Option<AuthError>,
    ) -> Result<AccessToken, AuthError> {
        let deadline = time::after(time::instant(), self.policy.fetch_deadline());
        let mut attempts = 0;
        loop {
            attempts += 1;
            span.attempt(attempts);
            let sent = Moment::now();
            let request = FetchRequest::at(self.clocks.now_at_token_endpoint(sent.wall), flight.rejected.clone());
            let error = match self.source.fetch(request).await {
                Ok(token) => {
                    if let Some((origin, date)) = token.server_date() {
                        // The request itself, which may have had to wait for an assertion.
                        let sent = token.created().instant.max(sent.instant);
                        self.clocks.hint(origin, date, sent, Moment::now());
                    }
                    return Ok(token);
                }
                Err(error) => error,
            };
            let pause = policy::attempt_pause(attempts, fastrand::f64()).max(error.retry_after().unwrap_or_default());
            let again = error.is_transient() && self.policy.allows_another_attempt(attempts);
            if !again || time::after(time::instant(), pause) >= deadline {
                return Err(error);
            }
            span.will_try_again(&error, pause);
            *failure = Some(error);
            if let Some(pause) = time::sleep(pause) {
                pause.await;
            }
        }
    }

    fn end_with(&self, token: AccessToken) -> End {
        let age = Moment::now().since(token.created());
        let life = self.policy.life(token.lifetime(), age, self.refresh_at);
        let header = token.header(self.scheme.as_deref());
        // A source around the one that made the token may count in its own way.
        let generation = token.generation().map(|generation| generation.min(self.generation()));
        let token = generation.into_iter().fold(token, AccessToken::of_generation);
        End::Token { token: Box::new(token), header, life }
    }

    fn end_with_failure(&self, error: AuthError) -> End {
        let failures = self.cache.failures_in_a_row().saturating_add(1);
        let backoff = self.policy.backoff(failures, &error, fastrand::f64());
        End::Failed { error, backoff }
    }

    fn finish(&self, flight: &Arc<Flight>, end: End) {
        self.cache.finish(flight, end, Moment::now());
        self.changed.notify_waiters();
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("cache", &self.cache).field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Ends its fetch whatever happens: with a result, or when it is dropped by the end of its runtime.
struct FetchGuard {
    fetcher: Arc<Fetcher>,
    flight: Arc<Flight>,
    span: FetchSpan,
    begun: Instant,
    is_complete: bool,
}

impl FetchGuard {
    fn new(fetcher: Arc<Fetcher>, flight: Arc<Flight>, span: FetchSpan) -> Self {
        Self { fetcher, flight, span, begun: time::instant(), is_complete: false }
    }

    async fn run(mut self) {
        let fetcher = &self.fetcher;
        let mut failure = None;
        let limit = fetcher.policy.fetch_deadline();
        let fetch = source::caught(fetcher.fetch(&self.flight, &self.span, &mut failure));
        let end = match time::within(limit, fetch).await {
            Ok(Some(Ok(token))) => fetcher.end_with(token),
            Ok(Some(Err(error))) => fetcher.end_with_failure(error),
            Err(no_timers) => End::Aborted(no_timers),
            Ok(None) => fetcher.end_with_failure(timed_out(failure)),
        };
        self.complete(end);
    }

    /// Changes the state first, and then tells of it: a log may block.
    fn complete(&mut self, end: End) {
        self.is_complete = true;
        let report = Report::of(&end, &self.fetcher.policy);
        self.fetcher.finish(&self.flight, end);
        let took = time::instant().saturating_duration_since(self.begun);
        report.tell(&self.span, self.fetcher.name, self.flight.trigger.name(), took);
    }
}

impl Drop for FetchGuard {
    fn drop(&mut self) {
        if !self.is_complete {
            let why = "the runtime that fetched the token has ended; try again";
            self.complete(End::Aborted(AuthError::new(ErrorKind::Aborted, why)));
        }
    }
}

/// What a fetch may take beyond its deadline, on a busy runtime.
const GRACE: Duration = Duration::from_secs(1);

fn timed_out(failure: Option<AuthError>) -> AuthError {
    let error = AuthError::new(ErrorKind::Timeout, "fetching a token timed out (RefreshPolicy::deadline)");
    match failure {
        Some(failure) => error.with_source(failure),
        None => error,
    }
}

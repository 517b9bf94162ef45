//! Runs one flight at a time: fetch, publish, wake.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Notify};

use crate::{
    clock::{self, Moment, Timepiece},
    error::{AuthError, ErrorKind},
    telemetry::FlightSpan,
    token::{
        AccessToken, FetchRequest, RefreshPolicy, TokenSource,
        flight::{Flight, Trigger, Waiter},
        issued::Issued,
        schedule,
        store::{Answer, End, Store},
        sync,
    },
};

#[cfg(all(test, auth_model))]
mod model;

/// The token of one layer and of everything that was made from it.
pub(crate) struct Refresher {
    pub(crate) store: Store,
    pub(crate) clock: Arc<Timepiece>,
    /// Notified when a flight has ended or a token was retired.
    pub(super) changed: Notify,
    source: Box<dyn TokenSource>,
    policy: RefreshPolicy,
    /// Drawn once.
    refresh_at: f64,
}

/// What somebody gets who wants a token.
pub(super) enum Access {
    Now(Arc<Issued>),
    Soon(Waiter),
}

impl Refresher {
    pub(crate) fn new(source: Box<dyn TokenSource>, policy: RefreshPolicy, clock: Timepiece) -> Self {
        Self {
            store: Store::new(clock.lag(), policy.flight_deadline().saturating_add(GRACE)),
            clock: Arc::new(clock),
            changed: Notify::new(),
            refresh_at: policy.draw_refresh_at(fastrand::f64()),
            source,
            policy,
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.source.generation()
    }

    /// The usable token, or a place among those who wait for it; a flight is started if that takes one.
    pub(super) fn ask(self: &Arc<Self>, trigger: Trigger) -> Result<Access, AuthError> {
        self.abandon_overdue();
        match self.store.ask(trigger, self.now(), self.generation()) {
            Answer::Usable(issued) => {
                self.attend(&issued, self.now());
                Ok(Access::Now(issued))
            }
            Answer::Joined(waiter) => Ok(Access::Soon(waiter)),
            Answer::Begun(waiter, flight) => {
                self.run(flight);
                Ok(Access::Soon(waiter))
            }
            Answer::CoolingDown(error) => Err(error),
        }
    }

    /// Sees to it that a token which was just found usable is succeeded in time. Waits for nothing.
    #[inline]
    pub(crate) fn attend(self: &Arc<Self>, issued: &Issued, now: Moment) {
        if issued.needs_attention(now, self.generation()) {
            self.succeed(now);
        }
    }

    /// Begins a flight after a rejection, for whoever comes next.
    pub(crate) fn renew(self: &Arc<Self>) -> Result<(), AuthError> {
        self.ask(Trigger::Rejected).map(drop)
    }

    /// Starts the flight that is due, if one is, and says so. For `keep_warm`, which waits for nothing.
    pub(super) fn tend(self: &Arc<Self>) -> bool {
        self.abandon_overdue();
        let (now, generation) = (self.now(), self.generation());
        let begun = match self.store.ask(Trigger::KeepWarm, now, generation) {
            Answer::Usable(_) => self.store.attend(Trigger::KeepWarm, now, generation),
            Answer::Begun(_, flight) => Some(flight),
            Answer::Joined(_) | Answer::CoolingDown(_) => None,
        };
        let started = begun.is_some();
        if let Some(flight) = begun {
            self.run(flight);
        }
        started
    }

    pub(super) fn flight_deadline(&self) -> Duration {
        self.policy.flight_deadline()
    }

    /// Takes down the flight that should have ended long ago, as those who might wait for its end may all be impatient.
    fn abandon_overdue(&self) {
        if let Some(flight) = self.store.overdue(self.now()) {
            self.abandon(&flight);
        }
    }

    /// Ends a flight whose runtime has come to a halt.
    pub(super) fn abandon(&self, flight: &Arc<Flight>) {
        let why = "the runtime of the token's flight does not run any more";
        self.finish(flight, End::Aborted(AuthError::new(ErrorKind::Aborted, why)));
    }

    /// Until the next flight may be due.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.store.next_visit().map(|due| self.now().until(due))
    }

    pub(super) fn reject(&self, token: &AccessToken) {
        self.store.retire_token(token);
        self.changed.notify_waiters();
    }

    #[cold]
    fn succeed(self: &Arc<Self>, now: Moment) {
        self.abandon_overdue();
        // Without a runtime nothing can be started; the next request in one will.
        if Handle::try_current().is_ok()
            && let Some(flight) = self.store.attend(Trigger::Aging, now, self.generation())
        {
            self.run(flight);
        }
    }

    /// Runs the flight as a task of its own, which no caller can cancel.
    fn run(self: &Arc<Self>, flight: Arc<Flight>) {
        let span = FlightSpan::new(flight.trigger.name());
        let mut landing = Landing { refresher: Arc::clone(self), flight, span: span.clone(), landed: false };
        match Handle::try_current() {
            Ok(runtime) => {
                landing.flight.runs_in(&runtime);
                sync::spawn(&runtime, span.around(landing.fly()));
            }
            Err(_) => landing.land(End::Aborted(AuthError::new(
                ErrorKind::Aborted,
                "a token can be fetched only within a tokio runtime",
            ))),
        }
    }

    /// Tries until there is a token, or no hope; `failure` is what the last try that was not the last met with.
    async fn fetch(
        &self,
        flight: &Flight,
        span: &FlightSpan,
        failure: &mut Option<AuthError>,
    ) -> Result<AccessToken, AuthError> {
        let deadline = self.now().after(self.policy.flight_deadline());
        let request = FetchRequest::new();
        let request = flight.rejected.as_ref().map_or(request, |token| request.with_rejected(token));
        let mut tries = 0;
        loop {
            tries += 1;
            span.attempt(tries);
            let sent = self.now();
            let error = match self.source.fetch(request).await {
                Ok(token) => {
                    if let Some(date) = token.server_date() {
                        self.clock.guess(date, sent);
                    }
                    return Ok(token);
                }
                Err(error) => error,
            };
            let pause = schedule::back_off(tries, fastrand::f64()).max(error.retry_after().unwrap_or_default());
            let again = error.is_transient() && self.policy.may_try_again(tries);
            if !again || self.now().after(pause) >= deadline {
                return Err(error);
            }
            span.will_try_again(&error, pause);
            *failure = Some(error);
            if let Some(pause) = clock::sleep(pause) {
                pause.await;
            }
        }
    }

    fn token(&self, token: AccessToken) -> End {
        let life = self.policy.life(token.expires_in(), self.now(), self.refresh_at);
        let end = token.expires_in().map(|_| life.end);
        End::Token { token: token.held_until(end, &self.clock), life }
    }

    fn failed(&self, error: AuthError) -> End {
        let failures = self.store.failures_in_a_row().saturating_add(1);
        let cool_down = self.policy.cool_down_after(failures, &error, fastrand::f64());
        End::Failed { error, cool_down }
    }

    fn finish(&self, flight: &Arc<Flight>, end: End) {
        self.store.finish(flight, end, self.now());
        self.changed.notify_waiters();
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher").field("store", &self.store).field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Ends its flight whatever happens: with a result, or when it is dropped by a panic or a dying runtime.
struct Landing {
    refresher: Arc<Refresher>,
    flight: Arc<Flight>,
    span: FlightSpan,
    landed: bool,
}

impl Landing {
    async fn fly(mut self) {
        let refresher = &self.refresher;
        let mut failure = None;
        let limit = refresher.policy.flight_deadline();
        let fetched = clock::within(limit, refresher.fetch(&self.flight, &self.span, &mut failure)).await;
        let end = match fetched {
            Some(Ok(token)) => refresher.token(token),
            Some(Err(error)) => refresher.failed(error),
            None => refresher.failed(late(failure)),
        };
        self.land(end);
    }

    fn land(&mut self, end: End) {
        self.landed = true;
        match &end {
            End::Token { life, .. } => self.span.brought_token(self.refresher.now().until(life.refresh)),
            End::Failed { error, cool_down } => self.span.failed(error, *cool_down),
            End::Aborted(error) => self.span.failed(error, Duration::ZERO),
        }
        self.refresher.finish(&self.flight, end);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.landed {
            let why = "the task that fetched the token panicked, or its runtime ended";
            self.land(End::Aborted(AuthError::new(ErrorKind::Aborted, why)));
        }
    }
}

/// What a flight may take beyond its deadline, on a busy runtime.
const GRACE: Duration = Duration::from_secs(1);

fn late(failure: Option<AuthError>) -> AuthError {
    let late = AuthError::new(ErrorKind::Timeout, "no token within the deadline of its flight");
    match failure {
        Some(failure) => late.with_source(failure),
        None => late,
    }
}

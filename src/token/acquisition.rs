//! One caller's way to a token: ask, wait, look again.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Sleep;

use crate::{
    clock,
    error::{AuthError, ErrorKind},
    token::{
        Issued, Refresher,
        flight::{Trigger, Waiter},
        refresher::Access,
    },
};

/// The usable token, as soon as there is one.
///
/// Nothing happens before the first poll. To drop it gives up the place among those who wait, and nothing else.
pub(crate) struct Acquisition {
    refresher: Arc<Refresher>,
    trigger: Trigger,
    waiter: Option<Waiter>,
    limit: Limit,
    /// For a flight in another runtime, which may have come to a halt with the flight in it.
    watchdog: Option<Pin<Box<Sleep>>>,
}

/// How long the caller is willing to wait.
enum Limit {
    None,
    /// Not waiting yet.
    Wait(Duration),
    Running(Pin<Box<Sleep>>),
}

impl Acquisition {
    /// For a request, or for [`TokenHandle::token`](crate::TokenHandle::token).
    pub(crate) fn of_any(refresher: &Arc<Refresher>, max_wait: Option<Duration>) -> Self {
        Self::new(refresher, Trigger::Missing, max_wait)
    }

    /// For a request whose token was rejected.
    pub(crate) fn of_next(refresher: &Arc<Refresher>, max_wait: Option<Duration>) -> Self {
        Self::new(refresher, Trigger::Rejected, max_wait)
    }

    /// For [`TokenHandle::refresh`](crate::TokenHandle::refresh).
    pub(crate) fn forced(refresher: &Arc<Refresher>) -> Self {
        Self::new(refresher, Trigger::Forced, None)
    }

    fn new(refresher: &Arc<Refresher>, trigger: Trigger, max_wait: Option<Duration>) -> Self {
        let limit = max_wait.map_or(Limit::None, Limit::Wait);
        Self { refresher: Arc::clone(refresher), trigger, waiter: None, limit, watchdog: None }
    }

    /// Takes down a flight that nobody runs any more, and says so.
    fn poll_watchdog(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(waiter) = self.waiter.as_ref().filter(|waiter| waiter.flight().is_elsewhere()) else {
            return Poll::Pending;
        };
        if self.watchdog.is_none() {
            self.watchdog = clock::sleep(self.refresher.flight_deadline()).map(Box::pin);
        }
        let Some(watchdog) = &mut self.watchdog else {
            return Poll::Pending;
        };
        watchdog.as_mut().poll(cx).map(|()| {
            self.refresher.abandon(waiter.flight());
            // Another thread may be ending the flight just now: then there is nothing to abandon, and more to wait for.
            self.watchdog = None;
        })
    }
}

impl Future for Acquisition {
    type Output = Result<Arc<Issued>, AuthError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let Some(waiter) = &mut self.waiter else {
                match self.refresher.ask(self.trigger)? {
                    Access::Now(issued) => return Poll::Ready(Ok(issued)),
                    Access::Soon(waiter) => self.waiter = Some(waiter),
                }
                continue;
            };
            let Poll::Ready(outcome) = waiter.poll(cx) else {
                if let Poll::Ready(error) = self.limit.poll(cx) {
                    return Poll::Ready(Err(error));
                }
                ready!(self.poll_watchdog(cx));
                continue;
            };
            self.waiter = None;
            self.watchdog = None;
            let brought = outcome?;
            if let Some(issued) = self.refresher.store.after_flight(brought, self.refresher.now()) {
                return Poll::Ready(Ok(issued));
            }
            // It ended or was rejected before this caller's turn. Whatever was forced has been done.
            self.trigger = Trigger::Missing;
        }
    }
}

impl Limit {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<AuthError> {
        if let Self::Wait(wait) = *self {
            *self = clock::sleep(wait).map_or(Self::None, |sleep| Self::Running(Box::pin(sleep)));
        }
        match self {
            Self::Running(sleep) => sleep.as_mut().poll(cx).map(|()| {
                AuthError::new(ErrorKind::Timeout, "no token within the time that this request may wait for one")
            }),
            Self::None | Self::Wait(_) => Poll::Pending,
        }
    }
}

//! One caller's way to a token: ask, wait, look again.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use crate::{
    error::{AuthError, ErrorKind},
    time::{self, Instant, Moment},
    token::{
        cached::CachedToken,
        fetcher::Fetcher,
        waiters::{Trigger, Waiter},
    },
};

/// The usable token, as soon as there is one.
///
/// Nothing happens before the first poll. Dropping it gives up the place among those who wait, and nothing else.
pub(crate) struct AcquireToken {
    fetcher: Arc<Fetcher>,
    trigger: Trigger,
    waiter: Option<Waiter>,
    /// When the caller gives up.
    give_up_at: Option<Instant>,
    /// For `give_up_at`, or for a fetch whose runtime may have stopped.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether a fetch in another runtime was aborted under this caller.
    has_restarted: bool,
}

impl AcquireToken {
    /// For a request, or for [`TokenHandle::token`](crate::token::TokenHandle::token).
    pub(crate) fn any(fetcher: &Arc<Fetcher>, max_wait: Option<Duration>) -> Self {
        Self::new(fetcher, Trigger::Missing, None, max_wait)
    }

    /// For a request whose token was rejected, and that waits for its successor.
    pub(crate) fn successor(fetcher: &Arc<Fetcher>, waiter: Waiter, max_wait: Option<Duration>) -> Self {
        Self::new(fetcher, Trigger::Rejected, Some(waiter), max_wait)
    }

    /// For [`TokenHandle::refresh`](crate::token::TokenHandle::refresh).
    pub(crate) fn forced(fetcher: &Arc<Fetcher>) -> Self {
        Self::new(fetcher, Trigger::Forced, None, None)
    }

    fn new(fetcher: &Arc<Fetcher>, trigger: Trigger, waiter: Option<Waiter>, max_wait: Option<Duration>) -> Self {
        // A wait that the clock cannot count to is one without a limit.
        let give_up_at = max_wait.and_then(|wait| time::instant().checked_add(wait));
        Self { fetcher: Arc::clone(fetcher), trigger, waiter, give_up_at, timer: None, has_restarted: false }
    }

    /// What is left of the time that the caller is willing to wait.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.give_up_at.map(|give_up_at| give_up_at.saturating_duration_since(time::instant()))
    }

    /// Ready when the caller gives up, with an error, or when it is to ask again since the fetch is overdue.
    fn poll_timer(&mut self, waiter: &Waiter, cx: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        if self.timer.is_none() {
            let flight = waiter.flight();
            let overdue = flight.runs_in_another_runtime().then_some(flight.overdue);
            let Some(ends_at) = overdue.into_iter().chain(self.give_up_at).min() else {
                return Poll::Pending;
            };
            self.timer = time::sleep(ends_at.saturating_duration_since(time::instant())).map(Box::pin);
        }
        let Some(timer) = &mut self.timer else {
            return Poll::Pending;
        };
        timer.as_mut().poll(cx).map(|()| match self.give_up_at {
            Some(give_up_at) if give_up_at <= time::instant() => Err(AuthError::new(
                ErrorKind::Timeout,
                "no token within max_wait(): the fetch goes on for later requests; allow a longer wait, or none",
            )),
            _ => Ok(()),
        })
    }

    /// What a fetch that has ended means for this caller: `None` to ask again.
    fn after_fetch(
        &mut self,
        waiter: &Waiter,
        error: Option<AuthError>,
    ) -> Option<Result<Arc<CachedToken>, AuthError>> {
        let Some(error) = error else {
            // A wake-up is a hint: the token may have been rejected since.
            let token = self.fetcher.cache.usable(Moment::now());
            // What was forced has been done.
            self.trigger = Trigger::Missing;
            return token.map(Ok);
        };
        if error.kind() == ErrorKind::Aborted && !self.has_restarted && waiter.flight().runs_in_another_runtime() {
            self.has_restarted = true;
            return None;
        }
        // A token that was retired may be back in use.
        let token = self.fetcher.cache.usable(Moment::now()).filter(|_| self.trigger == Trigger::Missing);
        Some(token.ok_or(error))
    }
}

impl Future for AcquireToken {
    type Output = Result<Arc<CachedToken>, AuthError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut waiter = match self.waiter.take() {
                Some(waiter) => waiter,
                None => match self.fetcher.ask(self.trigger)? {
                    Ok(token) => return Poll::Ready(Ok(token)),
                    Err(waiter) => waiter,
                },
            };
            let outcome = match waiter.poll(cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => match self.poll_timer(&waiter, cx) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => {
                        self.fetcher.abandon_overdue();
                        self.timer = None;
                        self.waiter = Some(waiter);
                        continue;
                    }
                    Poll::Pending => {
                        self.waiter = Some(waiter);
                        return Poll::Pending;
                    }
                },
            };
            self.timer = None;
            if let Some(result) = self.after_fetch(&waiter, outcome.err()) {
                return Poll::Ready(result);
            }
        }
    }
}

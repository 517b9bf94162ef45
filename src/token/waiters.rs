//! One token fetch, and the callers that wait for it.

use std::{
    fmt, mem,
    sync::{Arc, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use slab::Slab;
use tokio::runtime::{Handle, Id};

use crate::{
    error::AuthError,
    time::Instant,
    token::{AccessToken, cached::CachedToken, sync::Mutex},
};

/// What a fetch ends with, for everyone who waited.
pub(crate) type Outcome = Result<Arc<CachedToken>, AuthError>;

/// What a fetch was started by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A request that found no usable token.
    Missing,
    /// A request that found a token past its refresh point, and went on with it.
    Stale,
    /// A request that found a token from before a rotation of the secret, and went on with it.
    Rotated,
    /// A response that rejected the token.
    Rejected,
    /// `TokenHandle::refresh`.
    Forced,
    /// `TokenHandle::keep_warm`.
    KeepWarm,
}

impl Trigger {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Rotated => "rotated",
            Self::Rejected => "rejected",
            Self::Forced => "forced",
            Self::KeepWarm => "keep_warm",
        }
    }
}

/// A token fetch under way.
pub(crate) struct Flight {
    pub(crate) trigger: Trigger,
    /// The source's generation when it began.
    pub(crate) generation: u64,
    /// The token that must not be returned again.
    pub(crate) rejected: Option<AccessToken>,
    /// Past its deadline: if it has not ended by then, its runtime has stopped.
    pub(super) overdue: Instant,
    runtime: OnceLock<Id>,
    state: Mutex<State>,
}

enum State {
    Pending(Slab<Waker>),
    Done(Outcome),
}

impl Flight {
    pub(super) fn new(trigger: Trigger, generation: u64, rejected: Option<AccessToken>, overdue: Instant) -> Self {
        let state = Mutex::new(State::Pending(Slab::new()));
        Self { trigger, generation, rejected, overdue, runtime: OnceLock::new(), state }
    }

    pub(super) fn set_runtime(&self, runtime: &Handle) {
        self.runtime.get_or_init(|| runtime.id());
    }

    /// Whether its runtime is not the one that asks, which therefore cannot know whether it is still driven.
    pub(super) fn runs_in_another_runtime(&self) -> bool {
        Handle::try_current().is_ok_and(|here| self.runtime.get().is_some_and(|runtime| *runtime != here.id()))
    }

    /// Ends the wait of everyone. The first outcome counts.
    pub(crate) fn complete(&self, outcome: Outcome) {
        let waiting = self.change(|state| match state {
            State::Pending(waiting) => {
                let waiting = mem::take(waiting);
                *state = State::Done(outcome);
                waiting
            }
            State::Done(_) => Slab::new(),
        });
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("trigger", &self.trigger).finish_non_exhaustive()
    }
}

/// A place among those who wait; given up when dropped.
#[derive(Debug)]
pub(crate) struct Waiter {
    flight: Arc<Flight>,
    place: Option<usize>,
}

impl Waiter {
    pub(crate) fn new(flight: Arc<Flight>) -> Self {
        Self { flight, place: None }
    }

    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Whether the fetch has ended is looked up under the lock that registers the waker, so that no end is missed. Wakers
    /// are cloned before it and dropped after it, since they are foreign code.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut waker = Some(cx.waker().clone());
        let place = &mut self.place;
        self.flight.change(|state| match state {
            State::Done(outcome) => {
                *place = None;
                Poll::Ready(outcome.clone())
            }
            State::Pending(waiting) => {
                match place.and_then(|place| waiting.get_mut(place)) {
                    Some(registered) => waker = waker.take().map(|waker| mem::replace(registered, waker)),
                    None => *place = waker.take().map(|waker| waiting.insert(waker)),
                }
                Poll::Pending
            }
        })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let _dropped_after_the_lock = self.flight.change(|state| match state {
            State::Pending(waiting) => waiting.try_remove(place),
            State::Done(_) => None,
        });
    }
}

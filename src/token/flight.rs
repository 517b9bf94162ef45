//! One flight: a token on its way, and everybody who waits for it.

use std::{
    fmt,
    sync::{Arc, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use slab::Slab;
use tokio::runtime::{Handle, Id};

use crate::{
    clock::Moment,
    error::AuthError,
    token::{AccessToken, issued::Issued, sync::Mutex},
};

/// What a flight ends with, for everybody who waited.
pub(crate) type Outcome = Result<Arc<Issued>, AuthError>;

/// What a flight was started by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A request that found no usable token.
    Missing,
    /// A request that found an old one, and went on with it.
    Aging,
    /// A request that found one from before a rotation of the secret, and went on with it.
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
            Self::Aging => "aging",
            Self::Rotated => "rotated",
            Self::Rejected => "rejected",
            Self::Forced => "forced",
            Self::KeepWarm => "keep_warm",
        }
    }
}

/// A token on its way.
pub(crate) struct Flight {
    pub(crate) trigger: Trigger,
    /// The source's generation when it began.
    pub(crate) generation: u64,
    /// The token that the API refused, if that is why.
    pub(crate) rejected: Option<AccessToken>,
    /// Past its deadline and some: if it has not ended by then, nobody runs it any more.
    pub(super) overdue: Moment,
    /// The runtime that runs it.
    home: OnceLock<Id>,
    state: Mutex<State>,
}

enum State {
    Pending(Slab<Waker>),
    Done(Outcome),
}

impl Flight {
    pub(crate) fn new(trigger: Trigger, generation: u64, rejected: Option<AccessToken>, overdue: Moment) -> Self {
        let state = Mutex::new(State::Pending(Slab::new()));
        Self { trigger, generation, rejected, overdue, home: OnceLock::new(), state }
    }

    pub(super) fn runs_in(&self, runtime: &Handle) {
        self.home.get_or_init(|| runtime.id());
    }

    /// Whether it runs in another runtime than the one that asks, so that nobody here knows if that one still runs.
    pub(super) fn is_elsewhere(&self) -> bool {
        Handle::try_current().is_ok_and(|here| self.home.get().is_some_and(|home| *home != here.id()))
    }

    /// Ends the wait of everybody. The first end counts.
    pub(crate) fn complete(&self, outcome: Outcome) {
        let waiting = self.change(|state| match state {
            State::Pending(waiting) => {
                let waiting = std::mem::take(waiting);
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

    /// Whether the flight has ended is looked up under the lock that registers the waker, so no end goes unnoticed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let place = &mut self.place;
        self.flight.change(|state| match state {
            State::Done(outcome) => {
                *place = None;
                Poll::Ready(outcome.clone())
            }
            State::Pending(waiting) => {
                match place.and_then(|place| waiting.get_mut(place)) {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *place = Some(waiting.insert(cx.waker().clone())),
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
        // The waker is dropped after the lock is free: its drop is not our code.
        let _waker = self.flight.change(|state| match state {
            State::Pending(waiting) => waiting.try_remove(place),
            State::Done(_) => None,
        });
    }
}

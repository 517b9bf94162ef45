//! One token fetch, and the callers that wait for it.

use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
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
    /// A response that rejected the token of this version.
    Rejected { version: u32 },
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
            Self::Rejected { .. } => "rejected",
            Self::Forced => "forced",
            Self::KeepWarm => "keep_warm",
        }
    }

    /// Whether this usable token will do.
    pub(super) fn takes(self, token: &CachedToken) -> bool {
        match self {
            Self::Forced => false,
            Self::Rejected { version } => !token.has_value_of_version(version),
            Self::Missing | Self::Stale | Self::Rotated | Self::KeepWarm => true,
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
    /// The runtime that it runs in.
    runtime: Option<Id>,
    state: Mutex<State>,
}

enum State {
    Pending(Slab<Waker>),
    Done(Outcome),
}

impl Flight {
    pub(super) fn new(
        trigger: Trigger,
        generation: u64,
        rejected: Option<AccessToken>,
        overdue: Instant,
        runtime: Option<Id>,
    ) -> Self {
        let state = Mutex::new(State::Pending(Slab::new()));
        Self { trigger, generation, rejected, overdue, runtime, state }
    }

    /// Whether its runtime is not the one that asks, which therefore cannot know whether it is still driven.
    pub(super) fn runs_in_another_runtime(&self) -> bool {
        Handle::try_current().is_ok_and(|here| self.runtime.is_some_and(|runtime| runtime != here.id()))
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
            // Foreign code: if it panics, the others must be woken all the same.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        self.change(|state| if let State::Done(outcome) = state { Some(outcome.clone()) } else { None })
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
    place: Option<u32>,
}

impl Waiter {
    pub(super) fn new(flight: Arc<Flight>) -> Self {
        Self { flight, place: None }
    }

    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Whether the fetch has ended is looked up under the lock that registers the waker, so that no end is missed. Wakers
    /// are cloned before it and dropped after it, since they are foreign code.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        // A caller that was woken needs no waker.
        if let Some(outcome) = self.place.and_then(|_| self.flight.outcome()) {
            self.place = None;
            return Poll::Ready(outcome);
        }
        let mut waker = Some(cx.waker().clone());
        let place = &mut self.place;
        self.flight.change(|state| match state {
            State::Done(outcome) => {
                *place = None;
                Poll::Ready(outcome.clone())
            }
            State::Pending(waiting) => {
                match place.and_then(|place| waiting.get_mut(place as usize)) {
                    Some(registered) => waker = waker.take().map(|waker| mem::replace(registered, waker)),
                    None => *place = waker.take().and_then(|waker| u32::try_from(waiting.insert(waker)).ok()),
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
            State::Pending(waiting) => waiting.try_remove(place as usize),
            State::Done(_) => None,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        task::Wake,
    };

    use super::*;
    use crate::error::ErrorKind;

    fn flight() -> Arc<Flight> {
        Arc::new(Flight::new(Trigger::Missing, 0, None, crate::time::instant(), None))
    }

    fn waiter(flight: &Arc<Flight>) -> Waiter {
        Waiter::new(Arc::clone(flight))
    }

    fn fail(flight: &Flight, kind: ErrorKind) {
        flight.complete(Err(AuthError::new(kind, "no token")));
    }

    fn poll(waiter: &mut Waiter, waker: &Arc<impl Wake + Send + Sync + 'static>) -> Option<ErrorKind> {
        match waiter.poll(&mut Context::from_waker(&Waker::from(Arc::clone(waker)))) {
            Poll::Pending => None,
            Poll::Ready(Err(error)) => Some(error.kind()),
            Poll::Ready(Ok(_)) => panic!("there is no token"),
        }
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn woken<const N: usize>(counts: [&Arc<Count>; N]) -> [usize; N] {
        counts.map(|count| count.0.load(Relaxed))
    }

    #[test]
    fn t3_everyone_who_waits_is_woken_once_and_gets_the_outcome() {
        let flight = flight();
        let (mut first, mut second) = (waiter(&flight), waiter(&flight));
        let counts = [Arc::<Count>::default(), Arc::default()];
        assert_eq!((poll(&mut first, &counts[0]), poll(&mut second, &counts[1])), (None, None));
        fail(&flight, ErrorKind::Denied);
        assert_eq!(woken([&counts[0], &counts[1]]), [1, 1]);
        for waiter in [&mut first, &mut second] {
            assert_eq!(poll(waiter, &counts[0]), Some(ErrorKind::Denied));
            assert_eq!(poll(waiter, &counts[0]), Some(ErrorKind::Denied), "as often as asked");
        }
    }

    #[test]
    fn t3_a_caller_who_looks_only_after_the_end_is_not_forgotten() {
        let flight = flight();
        let mut late = waiter(&flight);
        fail(&flight, ErrorKind::Denied);
        assert_eq!(poll(&mut late, &Arc::<Count>::default()), Some(ErrorKind::Denied));
        assert_eq!(poll(&mut waiter(&flight), &Arc::<Count>::default()), Some(ErrorKind::Denied));
    }

    #[test]
    fn t2_the_first_outcome_counts() {
        let flight = flight();
        fail(&flight, ErrorKind::Aborted);
        fail(&flight, ErrorKind::Denied);
        assert_eq!(poll(&mut waiter(&flight), &Arc::<Count>::default()), Some(ErrorKind::Aborted));
    }

    #[test]
    fn s8_a_caller_who_gives_up_leaves_no_waker_behind_and_takes_no_place_of_another() {
        let flight = flight();
        let (mut given_up, mut staying) = (waiter(&flight), waiter(&flight));
        let counts = [Arc::<Count>::default(), Arc::default()];
        assert_eq!((poll(&mut given_up, &counts[0]), poll(&mut staying, &counts[1])), (None, None));
        assert_eq!(poll(&mut given_up, &counts[0]), None);
        assert_eq!(Arc::strong_count(&counts[0]), 2, "it has one place, however often it looks");
        drop((given_up, waiter(&flight)));
        assert_eq!(Arc::strong_count(&counts[0]), 1);
        fail(&flight, ErrorKind::Denied);
        assert_eq!(woken([&counts[0], &counts[1]]), [0, 1]);
    }

    #[test]
    fn s8_a_caller_who_is_polled_from_another_task_is_woken_there() {
        let flight = flight();
        let mut moved = waiter(&flight);
        let counts = [Arc::<Count>::default(), Arc::default()];
        assert_eq!((poll(&mut moved, &counts[0]), poll(&mut moved, &counts[1])), (None, None));
        fail(&flight, ErrorKind::Denied);
        assert_eq!(woken([&counts[0], &counts[1]]), [0, 1]);
    }

    /// Counts how often it is woken or dropped while the fetch cannot be looked at, and how often while it can.
    struct Probe {
        flight: Arc<Flight>,
        can: Arc<[AtomicUsize; 2]>,
    }

    impl Probe {
        fn new(flight: &Arc<Flight>) -> (Arc<Self>, Arc<[AtomicUsize; 2]>) {
            let can = Arc::<[AtomicUsize; 2]>::default();
            (Arc::new(Self { flight: Arc::clone(flight), can: Arc::clone(&can) }), can)
        }

        fn note(&self) {
            let can = self.flight.state.try_lock().is_ok();
            self.can[usize::from(can)].fetch_add(1, Relaxed);
        }
    }

    impl Wake for Probe {
        fn wake(self: Arc<Self>) {
            self.note();
        }
    }

    impl Drop for Probe {
        fn drop(&mut self) {
            self.note();
        }
    }

    #[test]
    fn t3_no_waker_is_woken_or_dropped_under_the_lock() {
        let counts = |can: &[AtomicUsize; 2]| [can[0].load(Relaxed), can[1].load(Relaxed)];
        let flight = flight();
        let mut waiter = waiter(&flight);
        let (replaced, by_another) = Probe::new(&flight);
        poll(&mut waiter, &replaced);
        drop(replaced);
        let (left, by_its_place) = Probe::new(&flight);
        poll(&mut waiter, &left);
        drop(left);
        assert_eq!(counts(&by_another), [0, 1], "when another takes its place");
        drop(waiter);
        assert_eq!(counts(&by_its_place), [0, 1], "with its place");

        let mut waiter = Waiter::new(Arc::clone(&flight));
        let (woken, at_the_end) = Probe::new(&flight);
        poll(&mut waiter, &woken);
        drop(woken);
        fail(&flight, ErrorKind::Denied);
        assert_eq!(counts(&at_the_end), [0, 2], "woken, and dropped");
    }
}

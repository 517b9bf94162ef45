//! Copies of the store with one step broken each, as one might well have written it. The checker has to find them out.

use std::{
    mem,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use super::world::{Mechanism, START};
use crate::{
    clock::Moment,
    token::{
        flight::{Flight, Outcome, Trigger, Waiter},
        issued::Issued,
        store::{Answer, Course, End, Store},
    },
};

/// Whether a flight is under way is looked up in one lock, and one is begun in another.
#[derive(Default)]
pub(super) struct BeginsInASecondLock(Store);

impl Mechanism for BeginsInASecondLock {
    fn store(&self) -> &Store {
        &self.0
    }

    fn ask(&self, trigger: Trigger, now: Moment) -> Answer {
        if let Some(issued) = self.0.usable(now) {
            return Answer::Usable(issued);
        }
        let under_way = self.0.gate().flight.clone();
        let Some(flight) = under_way else {
            let flight = self.0.begin(&mut self.0.gate(), trigger, now, 0);
            return Answer::Begun(Waiter::new(Arc::clone(&flight)), flight);
        };
        Answer::Joined(Waiter::new(flight))
    }
}

/// Whether the flight has ended is looked up in one lock, and the waker is registered in another.
#[derive(Default)]
pub(super) struct LooksBeforeItRegisters {
    store: Store,
    registered: Mutex<Vec<Waker>>,
}

impl Mechanism for LooksBeforeItRegisters {
    fn store(&self) -> &Store {
        &self.store
    }

    fn wait(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut look = Waiter::new(Arc::clone(waiter.flight()));
        let outcome = look.poll(&mut Context::from_waker(Waker::noop()));
        if outcome.is_pending() {
            drop(look);
            self.registered.lock().unwrap().push(cx.waker().clone());
        }
        outcome
    }

    fn finish(&self, flight: &Arc<Flight>, end: End) {
        self.store.finish(flight, end, START);
        let registered = mem::take(&mut *self.registered.lock().unwrap());
        registered.into_iter().for_each(Waker::wake);
    }
}

/// The current token is retired, whichever the rejected request had carried.
#[derive(Default)]
pub(super) struct RetiresTheCurrent(Store);

impl Mechanism for RetiresTheCurrent {
    fn store(&self) -> &Store {
        &self.0
    }

    fn rejected(&self, _ordinal: u32) -> Course {
        let mut gate = self.0.gate();
        if let Some(current) = self.0.current.load_full() {
            self.0.retire(&mut gate, &current);
        }
        Course::Renew
    }
}

/// The tokens are compared before the lock is taken, and the current one is retired under it.
#[derive(Default)]
pub(super) struct ComparesOutsideOfTheLock(Store);

impl Mechanism for ComparesOutsideOfTheLock {
    fn store(&self) -> &Store {
        &self.0
    }

    fn rejected(&self, ordinal: u32) -> Course {
        let current = self.0.current.load_full().filter(|current| current.is_same_as(ordinal));
        if let Some(current) = current {
            self.0.retire(&mut self.0.gate(), &current);
        }
        Course::Renew
    }
}

/// Who waited gets the token that was brought, whatever has become of it.
#[derive(Default)]
pub(super) struct HandsOutWhatWasBrought(Store);

impl Mechanism for HandsOutWhatWasBrought {
    fn store(&self) -> &Store {
        &self.0
    }

    fn after_flight(&self, brought: Arc<Issued>) -> Option<Arc<Issued>> {
        Some(brought)
    }
}

/// Whichever flight ends, its token is published.
#[derive(Default)]
pub(super) struct FinishesAnyFlight(Store);

impl Mechanism for FinishesAnyFlight {
    fn store(&self) -> &Store {
        &self.0
    }

    fn finish(&self, flight: &Arc<Flight>, end: End) {
        let End::Token { token, life } = end else {
            return self.0.finish(flight, end, START);
        };
        let mut gate = self.0.gate();
        gate.flight = None;
        let issued = gate.issue(token, life, 0, START);
        self.0.current.store(Some(Arc::clone(&issued)));
        drop(gate);
        flight.complete(Ok(issued));
    }
}

/// The number of an accepted token is compared in one step, and written in another.
#[derive(Default)]
pub(super) struct ComparesAndThenWrites(Store);

impl Mechanism for ComparesAndThenWrites {
    fn store(&self) -> &Store {
        &self.0
    }

    fn accepted(&self, ordinal: u32) {
        if self.0.accepted.load(Relaxed) < u64::from(ordinal) {
            self.0.accepted.store(ordinal.into(), Relaxed);
        }
    }
}

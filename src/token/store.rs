//! The current token, and what may be done about it: a state machine without I/O.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;

use crate::{
    clock::Moment,
    error::AuthError,
    token::{
        AccessToken,
        flight::{Flight, Trigger, Waiter},
        gate::{Gate, Record},
        issued::Issued,
        schedule::Life,
    },
};

/// What the store says to somebody who wants a token.
pub(crate) enum Answer {
    Usable(Arc<Issued>),
    Joined(Waiter),
    /// The caller has to run this flight, and to finish it.
    Begun(Waiter, Arc<Flight>),
    CoolingDown(AuthError),
}

/// What may be done about a rejected token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It is retired, or was succeeded before: ask for a token.
    Renew,
    /// Renewing did not help the last time; too soon to try again.
    TooSoon,
    /// The authorization server is left alone after a failure, so the token stays what it is.
    CoolingDown,
}

/// How a flight ended, with what the store needs to know about it.
pub(crate) enum End {
    Token {
        token: AccessToken,
        life: Life,
    },
    /// Without a cool-down: nothing is known about the server.
    Aborted(AuthError),
    Failed {
        error: AuthError,
        cool_down: Duration,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    current: ArcSwapOption<Issued>,
    /// The newest token with which a request was accepted.
    accepted: AtomicU64,
    /// Never locked across an await, and every change of `current` is made under it.
    gate: Mutex<Gate>,
}

impl Store {
    /// The current token, usable or not. The guard must not live across an await.
    pub(crate) fn current(&self) -> arc_swap::Guard<Option<Arc<Issued>>> {
        self.current.load()
    }

    fn usable(&self, now: Moment) -> Option<Arc<Issued>> {
        self.current.load_full().filter(|issued| issued.is_usable(now))
    }

    /// What somebody gets for whom a flight brought this token: a wake-up is a hint, and time has passed.
    pub(crate) fn after_flight(&self, brought: Arc<Issued>, now: Moment) -> Option<Arc<Issued>> {
        self.usable(now).or_else(|| Some(brought).filter(|brought| brought.is_good_once()))
    }

    /// A usable token, or a place among those who wait for one.
    pub(crate) fn ask(&self, trigger: Trigger, now: Moment, generation: u64) -> Answer {
        let mut gate = self.gate();
        let forced = trigger == Trigger::Forced;
        if !forced && let Some(issued) = self.usable(now) {
            return Answer::Usable(issued);
        }
        let rejected = trigger == Trigger::Rejected;
        if let Some(flight) = gate.flight.clone() {
            gate.renews |= rejected;
            return Answer::Joined(Waiter::new(flight));
        }
        if !forced && let Some((until, error)) = gate.cooling_down(now, generation) {
            return Answer::CoolingDown(error.clone().with_retry_after(Some(now.until(until))));
        }
        gate.renews = rejected;
        let flight = self.begin(&mut gate, trigger, generation);
        Answer::Begun(Waiter::new(Arc::clone(&flight)), flight)
    }

    /// A flight for the caller to run, if the current token should be succeeded and nobody sees to it yet.
    pub(crate) fn attend(&self, trigger: Trigger, now: Moment, generation: u64) -> Option<Arc<Flight>> {
        let mut gate = self.gate();
        let current = self.current.load_full()?;
        if gate.flight.is_some() || !current.needs_attention(now, generation) {
            return None;
        }
        if let Some((until, _)) = gate.cooling_down(now, generation) {
            current.look_again_at(until);
            return None;
        }
        let trigger = if current.is_outdated(generation) { Trigger::Rotated } else { trigger };
        Some(self.begin(&mut gate, trigger, generation))
    }

    /// A response rejected the token with this ordinal.
    pub(crate) fn rejected(&self, ordinal: u64, now: Moment, generation: u64) -> Course {
        let mut gate = self.gate();
        gate.spacing.rejected(now);
        let Some(current) = self.current.load_full().filter(|current| current.is_same_as(ordinal)) else {
            return Course::Renew;
        };
        if gate.spacing.runs(now) {
            return Course::TooSoon;
        }
        if gate.spacing.is_unproven(current.ordinal) && !self.was_accepted(current.ordinal) {
            gate.did_not_heal(current.ordinal, false, now);
            return Course::TooSoon;
        }
        if gate.flight.is_none() && gate.cooling_down(now, generation).is_some() {
            return Course::CoolingDown;
        }
        self.retire(&mut gate, &current);
        Course::Renew
    }

    /// Retires this token if it is the current one, whatever the spacing.
    pub(crate) fn retire_token(&self, token: &AccessToken) {
        let mut gate = self.gate();
        if let Some(current) = self.current.load_full().filter(|current| current.token.is_same(token)) {
            self.retire(&mut gate, &current);
        }
    }

    /// A request was answered with the token with this ordinal.
    pub(crate) fn accepted(&self, ordinal: u64) {
        if self.accepted.load(Relaxed) < ordinal {
            self.accepted.fetch_max(ordinal, Relaxed);
            self.gate().spacing.first_accepted();
        }
    }

    /// What became of a rejected request that was sent again with this token.
    pub(crate) fn replayed(&self, issued: &Issued, healed: bool, now: Moment) {
        let mut gate = self.gate();
        if healed {
            gate.spacing.healed(issued.ordinal);
        } else {
            gate.spacing.rejected(now);
            gate.did_not_heal(issued.ordinal, self.was_accepted(issued.ordinal), now);
        }
    }

    /// Ends the flight: publishes its token, or begins a cool-down; then wakes everybody who waited.
    pub(crate) fn finish(&self, flight: &Arc<Flight>, end: End, now: Moment) {
        let mut gate = self.gate();
        if gate.flight.take_if(|current| Arc::ptr_eq(current, flight)).is_none() {
            return;
        }
        let outcome = match end {
            End::Token { token, life } => {
                let issued = gate.issue(token, life, flight.generation, now);
                self.current.store(Some(Arc::clone(&issued)));
                Ok(issued)
            }
            End::Aborted(error) => {
                self.put_off(now, flight.generation);
                gate.fail(error.clone());
                Err(error)
            }
            End::Failed { error, cool_down } => {
                let until = now.after(cool_down);
                self.put_off(until, flight.generation);
                gate.fail(error.clone());
                gate.cool_down(until, flight.generation, error.clone());
                Err(error.with_retry_after(Some(cool_down)))
            }
        };
        drop(gate);
        flight.complete(outcome);
    }

    /// How many flights in a row have failed.
    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.gate().failures_in_a_row
    }

    pub(super) fn record(&self) -> Record {
        self.gate().record.clone()
    }

    /// When a flight is due for want of a usable, young token; `None` while one is under way.
    pub(super) fn next_visit(&self) -> Option<Moment> {
        let gate = self.gate();
        let due = self.current.load_full().map_or(Moment::from_nanos(0), |current| current.due());
        let allowed = gate.cool_down_end().unwrap_or(due);
        gate.flight.is_none().then(|| due.max(allowed))
    }

    fn begin(&self, gate: &mut Gate, trigger: Trigger, generation: u64) -> Arc<Flight> {
        if let Some(current) = self.current.load_full() {
            current.attended(generation);
        }
        let flight = Arc::new(Flight::new(trigger, generation, gate.refused()));
        gate.flight = Some(Arc::clone(&flight));
        flight
    }

    fn put_off(&self, until: Moment, generation: u64) {
        if let Some(current) = self.current.load_full() {
            current.put_off(until, generation);
        }
    }

    fn retire(&self, gate: &mut Gate, current: &Issued) {
        gate.retired_was_accepted = self.was_accepted(current.ordinal);
        current.retire();
        self.current.store(None);
    }

    fn was_accepted(&self, ordinal: u64) -> bool {
        self.accepted.load(Relaxed) >= ordinal
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

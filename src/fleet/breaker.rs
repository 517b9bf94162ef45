//! When a store that failed is asked again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::time::{self, Instant};

/// Closed while the store works. The first failed use opens it for a pause, after which one use is let through.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row.
    failures: u32,
    /// Until when the store is left alone.
    open_until: Option<Instant>,
    /// Changes with the state, so that a use that began before tells nothing of what came after.
    version: u64,
}

/// Permission for one use, to be handed back with what came of it. An abandoned use changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permit {
    version: u64,
}

impl Breaker {
    /// `random` is in 0 to 1.
    pub(super) fn permit(&self, now: Instant, random: f64) -> Option<Permit> {
        let mut state = self.state();
        if let Some(until) = state.open_until {
            if now < until {
                return None;
            }
            // One trial: if nothing is heard of it, the next is due after another pause.
            state.open(now, random);
        }
        Some(Permit { version: state.version })
    }

    pub(super) fn succeeded(&self, permit: Permit) {
        let mut state = self.state();
        if state.version == permit.version && state.failures > 0 {
            *state = State { version: state.version + 1, ..State::default() };
        }
    }

    /// Returns how long the store is left alone, if this failure is the first to tell.
    pub(super) fn failed(&self, permit: Permit, now: Instant, random: f64) -> Option<Duration> {
        let mut state = self.state();
        if state.version != permit.version {
            return None;
        }
        state.failures = state.failures.saturating_add(1);
        Some(state.open(now, random))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self, now: Instant, random: f64) -> Duration {
        let pause = pause(self.failures, random);
        self.open_until = Some(time::after(now, pause));
        self.version += 1;
        pause
    }
}

/// The pause after the `failures`-th failure in a row.
fn pause(failures: u32, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    // Not all processes come back at once.
    (FIRST_PAUSE * (1 << doublings)).min(MAX_PAUSE).mul_f64(0.75 + random.clamp(0.0, 1.0) / 4.0)
}

const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// A store that has recovered is used again within 20 s.
const MAX_PAUSE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn f4_a_store_that_fails_is_left_alone_for_two_seconds_doubling_to_fifteen() {
        let (breaker, mut now) = (Breaker::default(), time::instant());
        for seconds in [2, 4, 8, 15, 15, 15] {
            let permit = breaker.permit(now, 1.0).expect("one trial");
            assert!(breaker.permit(now, 1.0).is_some() == (seconds == 2), "one trial at a time");
            assert_eq!(breaker.failed(permit, now, 1.0), Some(seconds * SECOND));
            assert!(breaker.permit(now + seconds * SECOND - SECOND, 1.0).is_none());
            now += seconds * SECOND;
        }
        let trial = breaker.permit(now, 1.0).expect("one trial");
        breaker.succeeded(trial);
        let permit = breaker.permit(now, 1.0).expect("closed");
        assert_eq!(breaker.failed(permit, now, 0.0), Some(SECOND * 3 / 2), "counted from the start again, with jitter");
    }

    #[test]
    fn f4_uses_that_began_together_count_as_one_failure() {
        let (breaker, now) = (Breaker::default(), time::instant());
        let [first, second, slow] = [(); 3].map(|()| breaker.permit(now, 1.0).expect("closed"));
        assert!(breaker.failed(first, now, 1.0).is_some());
        assert_eq!(breaker.failed(second, now, 1.0), None);
        breaker.succeeded(slow);
        assert!(breaker.permit(now + SECOND, 1.0).is_none(), "a late success closes nothing");
    }

    #[test]
    fn f4_a_trial_that_was_given_up_does_not_shut_the_store_out_for_ever() {
        let (breaker, now) = (Breaker::default(), time::instant());
        let permit = breaker.permit(now, 1.0).expect("closed");
        breaker.failed(permit, now, 1.0);
        assert!(breaker.permit(now + 2 * SECOND, 1.0).is_some(), "given up");
        assert!(breaker.permit(now + 3 * SECOND, 1.0).is_none());
        assert!(breaker.permit(now + 4 * SECOND, 1.0).is_some());
    }
}

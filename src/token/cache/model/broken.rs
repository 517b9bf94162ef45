//! Copies of the cache with one step broken each, as it might easily be written. The checker has to find the fault.

use std::{
    mem,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::world::{Mechanism, at};
use crate::{
    time::Instant,
    token::{
        AccessToken, SentWith,
        cache::{AfterRejection, Answer, Asker, End, Standing, State, TokenCache},
        cached::CachedToken,
        waiters::{Flight, Outcome, Trigger, Waiter},
    },
};

const LIMIT: Duration = Duration::from_secs(30);

/// Whether a fetch is under way is looked up in one lock, and one is begun in another.
#[derive(Default)]
pub(super) struct BeginsInASecondLock;

impl Mechanism for BeginsInASecondLock {
    fn ask(&self, cache: &TokenCache, trigger: Trigger, asker: Asker) -> Answer {
        if let Some(token) = cache.usable(asker.now) {
            return Answer::Usable(token);
        }
        let under_way = cache.state().flight.clone();
        let Some(flight) = under_way else {
            let flight = cache.state().begin(trigger, asker, LIMIT);
            return Answer::Begun(Waiter::new(Arc::clone(&flight)), flight);
        };
        Answer::Joined(Waiter::new(flight))
    }
}

/// Whether the fetch has ended is looked up in one lock, and the waker is registered in another.
#[derive(Default)]
pub(super) struct LooksBeforeItRegisters(Mutex<Vec<Waker>>);

impl Mechanism for LooksBeforeItRegisters {
    fn wait(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut look = Waiter::new(Arc::clone(waiter.flight()));
        let outcome = look.poll(&mut Context::from_waker(Waker::noop()));
        if outcome.is_pending() {
            drop(look);
            self.0.lock().unwrap().push(cx.waker().clone());
        }
        outcome
    }

    fn finish(&self, cache: &TokenCache, flight: &Arc<Flight>, end: End) {
        cache.finish(flight, end, at(0));
        let registered = mem::take(&mut *self.0.lock().unwrap());
        registered.into_iter().for_each(Waker::wake);
    }
}

/// The current token is retired, whichever the rejected request had carried.
#[derive(Default)]
pub(super) struct RetiresTheCurrent;

impl Mechanism for RetiresTheCurrent {
    fn rejected(&self, cache: &TokenCache, _sent: SentWith, _asker: Asker) -> AfterRejection {
        let mut state = cache.state();
        cache.retire(&mut state);
        joined(&state)
    }
}

/// The tokens are compared under one lock, and the current one is retired under another.
#[derive(Default)]
pub(super) struct RetiresInASecondLock;

impl Mechanism for RetiresInASecondLock {
    fn rejected(&self, cache: &TokenCache, sent: SentWith, _asker: Asker) -> AfterRejection {
        let is_newest = cache.state().is_newest(sent.version);
        let mut state = cache.state();
        if is_newest {
            cache.retire(&mut state);
        }
        joined(&state)
    }
}

/// The tokens are compared under one lock, and the current one is invalidated under another.
#[derive(Default)]
pub(super) struct InvalidatesInASecondLock;

impl Mechanism for InvalidatesInASecondLock {
    fn invalidate(&self, cache: &TokenCache, token: &AccessToken) {
        if cache.state().newest.as_ref().is_some_and(|newest| newest.token.has_value_of(token)) {
            let mut state = cache.state();
            state.standing = Standing::Invalidated;
            cache.current.store(None);
        }
    }
}

/// A unit is taken under one lock, and its fetch is begun under another.
#[derive(Default)]
pub(super) struct BeginsAfterItTook;

impl Mechanism for BeginsAfterItTook {
    fn rejected(&self, cache: &TokenCache, sent: SentWith, asker: Asker) -> AfterRejection {
        let mut state = cache.state();
        let may = state.is_newest(sent.version) && state.flight.is_none();
        if !may || !state.budget.take(sent.version, true, asker.now.instant) {
            return joined(&state);
        }
        drop(state);
        let trigger = Trigger::Rejected { version: sent.version };
        let flight = cache.state().begin(trigger, asker, LIMIT);
        AfterRejection::Begun(Waiter::new(Arc::clone(&flight)), flight)
    }
}

/// An acceptance is noted in a copy of the budget, which then replaces it.
#[derive(Default)]
pub(super) struct JudgesACopy;

impl Mechanism for JudgesACopy {
    fn note_acceptance(&self, cache: &TokenCache, sent: SentWith, now: Instant) {
        let mut copy = cache.state().budget.clone();
        copy.accepted(sent, now);
        cache.state().budget = copy;
    }
}

/// Any fetch that fails gives back the unit of the one under way, even one that was given up.
#[derive(Default)]
pub(super) struct GivesBackForAnyFetch;

impl Mechanism for GivesBackForAnyFetch {
    fn finish(&self, cache: &TokenCache, flight: &Arc<Flight>, end: End) {
        if let End::Failed { .. } = end {
            cache.state().budget.fetch_ended(true, at(0).instant);
        }
        cache.finish(flight, end, at(0));
    }
}

/// Whether acceptances are awaited is computed under the lock, and stored after it.
#[derive(Default)]
pub(super) struct NotesOutsideOfTheLock;

impl Mechanism for NotesOutsideOfTheLock {
    fn note_acceptance(&self, cache: &TokenCache, sent: SentWith, now: Instant) {
        let mut state = cache.state();
        if state.is_newest(sent.version) {
            state.rejections_in_a_row = 0;
        }
        state.budget.accepted(sent, now);
        let awaits = state.awaits_acceptance();
        drop(state);
        cache.awaits_acceptance.store(awaits, Relaxed);
    }
}

/// After a failed fetch the newest token is used again, whatever took it out of use.
#[derive(Default)]
pub(super) struct BringsBackTheNewest;

impl Mechanism for BringsBackTheNewest {
    fn finish(&self, cache: &TokenCache, flight: &Arc<Flight>, end: End) {
        fail(cache, flight, end, |state| {
            state.standing = Standing::InUse;
            cache.current.store(state.newest.clone());
        });
    }
}

/// A retired token is brought back only after everyone who waited was told that the fetch failed.
#[derive(Default)]
pub(super) struct BringsBackAfterItWoke;

impl Mechanism for BringsBackAfterItWoke {
    fn finish(&self, cache: &TokenCache, flight: &Arc<Flight>, end: End) {
        fail(cache, flight, end, |_| {});
        cache.bring_back(&mut cache.state());
    }
}

/// Everyone who waited gets the new token, even if it was invalidated meanwhile.
#[derive(Default)]
pub(super) struct HandsOutWhatWasBrought;

impl Mechanism for HandsOutWhatWasBrought {
    fn after_fetch(&self, _cache: &TokenCache, brought: Arc<CachedToken>) -> Option<Arc<CachedToken>> {
        Some(brought)
    }
}

/// The token of any fetch that ends is published, even of one that was given up.
#[derive(Default)]
pub(super) struct FinishesAnyFlight;

impl Mechanism for FinishesAnyFlight {
    fn finish(&self, cache: &TokenCache, flight: &Arc<Flight>, end: End) {
        let End::Token { token, header, life } = end else {
            return cache.finish(flight, end, at(0));
        };
        let mut state = cache.state();
        state.flight = None;
        let created = cache.clock.at(token.created());
        let token = CachedToken::new(*token, header, life, created, state.newest.as_deref(), 0);
        let added = cache.add(&mut state, token, at(0).instant);
        drop(state);
        flight.complete(Ok(added));
    }
}

fn joined(state: &State) -> AfterRejection {
    let flight = state.flight.clone();
    flight.map_or(AfterRejection::ReplayNow, |flight| AfterRejection::Wait(Waiter::new(flight)))
}

/// Ends a fetch as the cache does, but for what becomes of its token if it failed.
fn fail(cache: &TokenCache, flight: &Arc<Flight>, end: End, change: impl FnOnce(&mut State)) {
    let End::Failed { error, backoff } = end else {
        return cache.finish(flight, end, at(0));
    };
    let mut state = cache.state();
    state.flight = None;
    change(&mut state);
    let told = state.fail(error, Some(backoff), 0, at(0));
    drop(state);
    flight.complete(Err(told));
}

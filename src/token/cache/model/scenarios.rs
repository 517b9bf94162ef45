//! The scenarios. Each is one run of some threads; the checker tries the orders of their steps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
};

use super::world::{Counts, Mechanism, World, asker, death, failure, number, token};
use crate::{
    error::ErrorKind,
    token::{
        cache::{AfterRejection, Answer},
        sync::model::block_on,
        waiters::Trigger,
    },
};

pub(super) fn two_callers_ask<M: Mechanism>() {
    let world = World::<M>::new(4);
    world.thread(|world| drop(world.ask(Trigger::Missing, 0)));
    drop(world.ask(Trigger::Missing, 0));
    world.join();
}

pub(super) fn two_callers_are_cold<M: Mechanism>() {
    let world = World::<M>::new(4);
    world.thread(|world| _ = world.wait_for_token(Trigger::Missing));
    world.wait_for_token(Trigger::Missing);
    assert_eq!(world.end(), Counts { issued: 1, failures: 0, current: Some(1) });
}

pub(super) fn a_caller_meets_a_publication<M: Mechanism>() {
    let world = World::<M>::new(4);
    let (mut waiter, flight) = world.begin(Trigger::Missing);
    world.thread(move |world| world.complete(&flight, token(1)));
    let woken = Arc::new(Woken::default());
    let first = world.mechanism.wait(&mut waiter, &mut Context::from_waker(&Waker::from(Arc::clone(&woken))));
    world.join();
    assert!(first.is_ready() || woken.0.load(SeqCst), "a caller was forgotten");
    assert_eq!(world.end(), Counts { issued: 1, failures: 0, current: Some(1) });
}

/// One caller gives up before its first poll, one after it, and a third waits.
pub(super) fn a_caller_gives_up<M: Mechanism>() {
    let world = World::<M>::new(4);
    let (never_polled, flight) = world.begin(Trigger::Missing);
    world.thread(move |world| {
        let mut polled_once = Box::pin(world.token(Trigger::Missing));
        let _ = polled_once.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(never_polled);
    });
    world.thread(move |world| world.complete(&flight, token(1)));
    world.wait_for_token(Trigger::Missing);
    assert_eq!(world.end(), Counts { issued: 1, failures: 0, current: Some(1) });
}

/// A caller is about to receive a token, while another invalidates it.
pub(super) fn a_token_is_invalidated_on_arrival<M: Mechanism>() {
    let world = World::<M>::new(4);
    let (mut waiter, flight) = world.begin(Trigger::Missing);
    world.thread(move |world| {
        world.complete(&flight, token(1));
        let current = world.cache.current().clone();
        current.as_deref().into_iter().for_each(|token| world.invalidate(token));
    });
    assert!(block_on(world.wait(&mut waiter)).is_ok());
    assert_eq!(world.end(), Counts { issued: 1, failures: 0, current: None });
}

pub(super) fn an_invalidation_meets_a_publication<M: Mechanism>() {
    let world = World::<M>::with_a_token(4);
    let first = world.cache.current().clone();
    let (_waiter, flight) = world.begin(Trigger::Forced);
    world.thread(move |world| world.complete(&flight, token(2)));
    first.as_deref().into_iter().for_each(|token| world.invalidate(token));
    assert_eq!(number(&world.wait_for_token(Trigger::Missing)), 2, "a newer token was displaced");
    assert_eq!(world.end(), Counts { issued: 2, failures: 0, current: Some(2) });
}

/// The user invalidates a retired token while the fetch of its successor fails.
pub(super) fn an_invalidation_meets_a_failure<M: Mechanism>() {
    let world = World::<M>::with_a_token(4);
    let first = world.cache.current().clone();
    let flight = world.renew(1, 0);
    drop(world.reject(1, 0));
    world.thread(move |world| world.complete(&flight, failure()));
    first.as_deref().into_iter().for_each(|token| world.invalidate(token));
    let end = world.end();
    assert_eq!(end, Counts { issued: 1, failures: 1, current: None }, "an invalidated token came back");
}

/// Two requests notice the rotation; one may come while the old secret's token is being published.
pub(super) fn a_rotation_meets_a_publication<M: Mechanism>() {
    let world = World::<M>::with_a_token(4);
    let (_waiter, flight) = world.begin(Trigger::Forced);
    let renew = |world: &World<M>| {
        if let Some(flight) = world.cache.refresh_if_due(Trigger::Stale, asker(1, 0)) {
            let number = world.note_begun();
            world.complete(&flight, token(number));
        }
    };
    world.thread(move |world| world.complete(&flight, token(2)));
    world.thread(move |world| renew(world));
    world.join();
    renew(&world);
    assert_eq!(world.end(), Counts { issued: 3, failures: 0, current: Some(3) });
}

pub(super) fn a_refresh_is_forced_during_a_fetch<M: Mechanism>() {
    let world = World::<M>::new(4);
    world.thread(|world| _ = world.wait_for_token(Trigger::Missing));
    world.wait_for_token(Trigger::Forced);
    let counts = world.end();
    assert!(counts.failures == 0 && counts.issued <= 2 && counts.current == Some(counts.issued), "{counts:?}");
}

pub(super) fn a_fetch_dies<M: Mechanism>() {
    let world = World::<M>::new(4);
    let (_waiter, flight) = world.begin(Trigger::Missing);
    world.thread(move |world| world.complete(&flight, death()));
    match block_on(world.token(Trigger::Missing)) {
        Ok(token) => assert_eq!(number(&token), 2),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Aborted),
    }
    world.wait_for_token(Trigger::Missing);
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(2) });
}

/// A fetch is given up as overdue, and ends after all while another is under way.
pub(super) fn a_fetch_comes_back_too_late<M: Mechanism>() {
    let world = World::<M>::new(4);
    let (_waiter, late) = world.begin(Trigger::Missing);
    world.complete(&late, death());
    world.thread(move |world| world.mechanism.finish(&world.cache, &late, token(1)));
    world.wait_for_token(Trigger::Missing);
    world.join();
    assert_eq!(number(&world.wait_for_token(Trigger::Missing)), 2);
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(2) });
}

/// The same after the other has ended.
pub(super) fn a_fetch_comes_back_after_its_successor<M: Mechanism>() {
    let world = World::<M>::new(4);
    let (_waiter, late) = world.begin(Trigger::Missing);
    world.complete(&late, death());
    world.wait_for_token(Trigger::Missing);
    world.join();
    world.thread(move |world| world.mechanism.finish(&world.cache, &late, token(1)));
    world.join();
    assert_eq!(number(&world.wait_for_token(Trigger::Missing)), 2);
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(2) });
}

/// One caller comes just before the end of the backoff, two come just after it.
pub(super) fn a_backoff_ends<M: Mechanism>() {
    let world = World::<M>::new(4);
    let (_waiter, flight) = world.begin(Trigger::Missing);
    world.complete(&flight, failure());
    let come = |world: &World<M>, seconds| match world.ask(Trigger::Missing, seconds) {
        Answer::Begun(_, flight) => {
            assert_eq!(seconds, 10, "begun within the backoff");
            world.complete(&flight, token(2));
        }
        Answer::BackingOff(_) => assert_eq!(seconds, 9, "the backoff lasted too long"),
        Answer::Usable(_) | Answer::Joined(_) => {}
        Answer::NoRuntime => panic!("there is a runtime"),
    };
    world.thread(move |world| come(world, 9));
    world.thread(move |world| come(world, 10));
    come(&world, 10);
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(2) });
}

pub(super) fn two_rejections_meet<M: Mechanism>() {
    let world = World::<M>::with_a_token(4);
    world.thread(|world| drop(world.reject(1, 0)));
    drop(world.reject(1, 0));
    world.join();
    assert_eq!(world.units_left(0), 3, "one fetch costs one unit");
}

pub(super) fn two_requests_are_rejected<M: Mechanism>() {
    let world = World::<M>::with_a_token(4);
    let replay = |world: &Arc<World<M>>| {
        let successor = world.wait_for_successor(1);
        assert_eq!(successor.as_deref().map(number), Some(2), "a request was replayed with the rejected token");
    };
    world.thread(move |world| replay(world));
    replay(&world);
    assert_eq!(world.end(), Counts { issued: 2, failures: 0, current: Some(2) });
}

pub(super) fn a_rejection_meets_a_publication<M: Mechanism>() {
    let world = World::<M>::with_a_token(4);
    let (_waiter, flight) = world.begin(Trigger::Forced);
    world.thread(move |world| world.complete(&flight, token(2)));
    drop((world.reject(1, 0), world.reject(1, 0)));
    assert_eq!(number(&world.wait_for_token(Trigger::Missing)), 2, "a newer token was displaced");
    assert_eq!(world.end(), Counts { issued: 2, failures: 0, current: Some(2) });
}

/// A caller waits for the successor of a retired token, and the fetch fails.
pub(super) fn a_retired_token_comes_back<M: Mechanism>() {
    let world = World::<M>::with_a_token(4);
    let flight = world.renew(1, 0);
    drop(world.reject(1, 0));
    world.thread(move |world| world.complete(&flight, failure()));
    let token = block_on(world.token(Trigger::Missing));
    assert_eq!(token.as_deref().map(number).ok(), Some(1), "a caller was refused though the token lives");
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(1) });
}

/// The token was rejected once. One request is accepted while another is rejected. After one more acceptance the count
/// begins at nought.
pub(super) fn an_acceptance_meets_a_rejection<M: Mechanism>() {
    let world = World::<M>::with_a_token(0);
    drop(world.reject(1, 0));
    world.thread(|world| drop(world.reject(1, 0)));
    world.accept(1, 0);
    world.join();
    world.accept(1, 0);
    let after = world.reject(1, 0);
    assert!(matches!(after, AfterRejection::ReplayNow), "an acceptance was forgotten");
}

/// A renewal is found to have helped, while another takes the last unit.
pub(super) fn a_judgment_meets_a_rejection<M: Mechanism>() {
    let world = World::<M>::with_a_token(2);
    let flight = world.renew(1, 0);
    world.complete(&flight, token(2));
    world.accept(2, 0);
    world.thread(|world| world.accept(2, 2));
    let flight = world.renew(2, 2);
    world.complete(&flight, token(3));
    world.join();
    assert_eq!(world.units_left(2), 1, "a unit was given back twice");
}

/// A renewal is given up as overdue, and fails while the next is under way.
pub(super) fn a_renewal_fails_too_late<M: Mechanism>() {
    let world = World::<M>::with_a_token(2);
    let late = world.renew(1, 0);
    world.complete(&late, death());
    let flight = world.renew(1, 0);
    world.thread(move |world| world.mechanism.finish(&world.cache, &late, failure()));
    world.complete(&flight, token(3));
    assert_eq!(world.end(), Counts { issued: 2, failures: 1, current: Some(3) });
    assert_eq!(world.units_left(0), 0, "a unit was given back twice");
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

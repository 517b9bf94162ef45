//! Who meets whom at the store. Each scenario is one run of its threads; the checker tries the orders of their steps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
};

use super::world::{Counts, Mechanism, START, World, at, death, failure, number, stillborn, token};
use crate::{
    error::ErrorKind,
    token::{flight::Trigger, store::Answer, sync::model::block_on},
};

pub(super) fn two_callers_ask<M: Mechanism>() {
    let world = World::<M>::new();
    world.thread(|world| drop(world.ask(Trigger::Missing, START)));
    drop(world.ask(Trigger::Missing, START));
    world.join();
}

pub(super) fn two_callers_are_cold<M: Mechanism>() {
    let world = World::<M>::new();
    world.thread(|world| _ = world.wait_for_token(Trigger::Missing));
    world.wait_for_token(Trigger::Missing);
    assert_eq!(world.end(), Counts { issued: 1, failures: 0, current: Some(1) });
}

pub(super) fn a_caller_meets_a_publication<M: Mechanism>() {
    let world = World::<M>::new();
    let (mut waiter, flight) = world.begin(Trigger::Missing);
    world.thread(move |world| world.land(&flight, token(1)));
    let woken = Arc::new(Woken::default());
    let first = world.mechanism.wait(&mut waiter, &mut Context::from_waker(&Waker::from(Arc::clone(&woken))));
    world.join();
    assert!(first.is_ready() || woken.0.load(SeqCst), "a caller was forgotten");
    assert_eq!(world.end(), Counts { issued: 1, failures: 0, current: Some(1) });
}

/// One gives up before it looked, one after it looked, and a third waits.
pub(super) fn a_caller_gives_up<M: Mechanism>() {
    let world = World::<M>::new();
    let (never_polled, flight) = world.begin(Trigger::Missing);
    world.thread(move |world| {
        let mut polled_once = Box::pin(world.token(Trigger::Missing));
        let _ = polled_once.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(never_polled);
    });
    world.thread(move |world| world.land(&flight, token(1)));
    world.wait_for_token(Trigger::Missing);
    assert_eq!(world.end(), Counts { issued: 1, failures: 0, current: Some(1) });
}

pub(super) fn a_token_is_rejected_twice<M: Mechanism>() {
    let world = World::<M>::with_a_token();
    world.thread(|world| {
        world.reject(1);
        world.wait_for_token(Trigger::Rejected);
    });
    world.reject(1);
    world.wait_for_token(Trigger::Rejected);
    assert_eq!(world.end(), Counts { issued: 2, failures: 0, current: Some(2) });
}

pub(super) fn a_rejection_meets_a_publication<M: Mechanism>() {
    let world = World::<M>::with_a_token();
    let (_waiter, flight) = world.begin(Trigger::Forced);
    world.thread(move |world| world.land(&flight, token(2)));
    world.reject(1);
    assert_eq!(number(&world.wait_for_token(Trigger::Rejected)), 2, "a newer token was displaced");
    assert_eq!(world.end(), Counts { issued: 2, failures: 0, current: Some(2) });
}

/// A token without a lifetime is on its way to a caller who waited, while another hears that the API refuses it.
pub(super) fn a_token_is_retired_on_arrival<M: Mechanism>() {
    let world = World::<M>::new();
    let (mut waiter, flight) = world.begin(Trigger::Missing);
    world.thread(move |world| {
        world.land(&flight, stillborn(1));
        let current = world.mechanism.store().current().clone();
        current.as_deref().into_iter().for_each(|issued| world.retire(issued));
    });
    assert!(block_on(world.wait(&mut waiter)).is_ok());
    assert_eq!(world.end(), Counts { issued: 1, failures: 0, current: None });
}

/// Two requests notice the rotation; one may come while the old secret's token is being published.
pub(super) fn a_rotation_meets_a_publication<M: Mechanism>() {
    let world = World::<M>::with_a_token();
    let (_waiter, flight) = world.begin(Trigger::Forced);
    let renew = |world: &World<M>| {
        if let Some(flight) = world.mechanism.store().attend(Trigger::Aging, START, 1) {
            let number = world.took_off();
            world.land(&flight, token(number));
        }
    };
    world.thread(move |world| world.land(&flight, token(2)));
    world.thread(move |world| renew(world));
    world.join();
    renew(&world);
    assert_eq!(world.end(), Counts { issued: 3, failures: 0, current: Some(3) });
}

pub(super) fn a_refresh_is_forced_during_a_flight<M: Mechanism>() {
    let world = World::<M>::new();
    world.thread(|world| _ = world.wait_for_token(Trigger::Missing));
    world.wait_for_token(Trigger::Forced);
    let counts = world.end();
    assert!(counts.failures == 0 && counts.issued <= 2 && counts.current == Some(counts.issued), "{counts:?}");
}

pub(super) fn a_flight_dies<M: Mechanism>() {
    let world = World::<M>::new();
    let (_waiter, flight) = world.begin(Trigger::Missing);
    world.thread(move |world| world.land(&flight, death()));
    match block_on(world.token(Trigger::Missing)) {
        Ok(issued) => assert_eq!(number(&issued), 2),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Aborted),
    }
    world.wait_for_token(Trigger::Missing);
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(2) });
}

/// Somebody takes a flight for dead; it turns out to be alive while another is under way.
pub(super) fn a_flight_comes_back_too_late<M: Mechanism>() {
    let world = World::<M>::new();
    let (_waiter, late) = world.begin(Trigger::Missing);
    world.land(&late, death());
    world.thread(move |world| world.mechanism.finish(&late, token(1)));
    world.wait_for_token(Trigger::Missing);
    world.join();
    assert_eq!(number(&world.wait_for_token(Trigger::Missing)), 2);
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(2) });
}

/// The same, when the other has already landed.
pub(super) fn a_flight_comes_back_after_its_successor<M: Mechanism>() {
    let world = World::<M>::new();
    let (_waiter, late) = world.begin(Trigger::Missing);
    world.land(&late, death());
    world.wait_for_token(Trigger::Missing);
    world.join();
    world.thread(move |world| world.mechanism.finish(&late, token(1)));
    world.join();
    assert_eq!(number(&world.wait_for_token(Trigger::Missing)), 2);
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(2) });
}

/// One caller comes just before the end of the cool-down, two come just after it.
pub(super) fn a_cool_down_ends<M: Mechanism>() {
    let world = World::<M>::new();
    let (_waiter, flight) = world.begin(Trigger::Missing);
    world.land(&flight, failure());
    let come = |world: &World<M>, seconds| match world.ask(Trigger::Missing, at(seconds)) {
        Answer::Begun(_, flight) => {
            assert_eq!(seconds, 10, "begun within the cool-down");
            world.land(&flight, token(2));
        }
        Answer::CoolingDown(_) => assert_eq!(seconds, 9, "cooled down too long"),
        Answer::Usable(_) | Answer::Joined(_) => {}
    };
    world.thread(move |world| come(world, 9));
    world.thread(move |world| come(world, 10));
    come(&world, 10);
    assert_eq!(world.end(), Counts { issued: 1, failures: 1, current: Some(2) });
}

pub(super) fn two_tokens_are_accepted<M: Mechanism>() {
    let world = World::<M>::with_a_token();
    let (_waiter, flight) = world.begin(Trigger::Forced);
    world.land(&flight, token(2));
    world.thread(|world| world.mechanism.accepted(1));
    world.mechanism.accepted(2);
    world.join();
    assert!(world.mechanism.store().was_accepted(2), "the counters disagree");
    world.end();
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

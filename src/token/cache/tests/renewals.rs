//! What rejections cost in token fetches, and requests in looks at the lock.

use std::{sync::mpsc, thread};

use super::*;

/// How many renewals might begin then.
fn units_left(scene: &Scene, seconds: f64) -> usize {
    let mut budget = scene.cache.state().budget.clone();
    (0..100).take_while(|_| budget.take(u32::MAX, true, scene.at(seconds).instant)).count()
}

/// A rejection of this version begins a fetch, which takes no time and brings the next one.
fn renew(scene: &Scene, version: u32, seconds: f64) {
    let flight = flight_of(scene.reject(version, seconds));
    scene.bring(&flight, &(version + 1).to_string(), seconds);
}

#[test]
fn r5_four_fetches_at_once_and_then_one_every_ten_seconds() {
    let scene = Scene::with_a_token();
    (1..=4).for_each(|version| renew(&scene, version, 1.0));
    for (version, throttled, regained) in [(5, 10.9, 11.1), (6, 20.9, 21.2)] {
        assert!(matches!(scene.reject(version, throttled), AfterRejection::ReplayNow));
        renew(&scene, version, regained);
    }
}

#[test]
fn r5_a_renewal_that_helped_costs_nothing() {
    let scene = Scene::with_a_token();
    renew(&scene, 1, 1.0);
    scene.cache.note_acceptance(SentWith { is_replay: true, ..scene.sent(2, 1.1) }, scene.at(1.2).instant);
    assert_eq!(units_left(&scene, 2.3), 4);
}

#[test]
fn r5_a_renewal_that_did_not_help_costs_a_unit() {
    let replay_was_rejected = |scene: &Scene| scene.cache.replay_rejected(2, scene.at(1.1).instant);
    let old_token_was_accepted = |scene: &Scene| scene.accept(1, 1.1);
    for reason in [replay_was_rejected, old_token_was_accepted] {
        let scene = Scene::with_a_token();
        renew(&scene, 1, 1.0);
        reason(&scene);
        scene.accept(2, 1.2);
        assert_eq!([2.3, 12.0, 12.3].map(|seconds| units_left(&scene, seconds)), [3, 3, 4]);
    }
}

#[test]
fn r5_a_renewal_for_a_request_that_cannot_be_replayed_costs_a_unit() {
    let scene = Scene::with_a_token();
    let rejected = scene.cache.rejected(scene.sent(1, 1.0), false, scene.asker(1.0));
    let flight = flight_of(rejected);
    scene.bring(&flight, "2", 1.0);
    scene.accept(2, 1.1);
    assert_eq!(units_left(&scene, 2.3), 3);
}

#[test]
fn r5_a_unit_comes_back_when_its_fetch_fails() {
    let scene = Scene::with_a_token();
    let flight = flight_of(scene.reject(1, 1.0));
    scene.fail(&flight, 2.0);
    assert_eq!(units_left(&scene, 2.0), 4);
}

#[test]
fn r5_joining_a_fetch_costs_no_unit() {
    let scene = Scene::with_a_token();
    let flight = scene.refresh_if_due(0, 80.0).unwrap();
    scene.reject(1, 80.0);
    scene.reject(1, 80.0);
    scene.bring(&flight, "2", 80.0);
    assert_eq!(units_left(&scene, 80.0), 4);
}

#[test]
fn r5_a_token_that_was_never_used_keeps_no_unit() {
    let scene = Scene::with_a_token();
    for day in 0..8_u32 {
        let (version, start) = (day * 2 + 1, f64::from(day) * 86_400.0);
        renew(&scene, version, start + 1.0);
        let (_, flight) = scene.begin(Trigger::Missing, start + 86_400.0);
        scene.bring(&flight, "next", start + 86_400.0);
    }
}

#[test]
fn r5_the_warning_is_given_once() {
    let scene = Scene::with_a_token();
    assert_eq!([0; 3].map(|_| scene.cache.warns_of_throttling()), [true, false, false]);
}

#[test]
fn r5_an_api_that_rejects_everything_causes_ten_fetches_in_a_minute_and_six_in_each_further_one() {
    let scene = Scene::with_a_token();
    let (mut version, mut fetches) = (1, [0; 3]);
    for tenth in 10..1_800_u32 {
        let seconds = f64::from(tenth) / 10.0;
        if let AfterRejection::Begun(_, flight) = scene.reject(version, seconds) {
            version += 1;
            scene.bring(&flight, &version.to_string(), seconds);
            scene.cache.replay_rejected(version, scene.at(seconds).instant);
            fetches[tenth as usize / 600] += 1;
        }
    }
    assert_eq!(fetches, [9, 6, 6]);
}

#[test]
fn r5_a_runtime_for_each_call_does_not_renew_without_limit() {
    let scene = Scene::with_a_token();
    let mut begun = 0;
    for hundredth in 0..6_000 {
        let seconds = f64::from(hundredth) / 100.0;
        // A call that finds no token waits for its fetch; one that is rejected cannot be replayed, and its runtime ends.
        if let Answer::Begun(_, flight) = scene.ask(Trigger::Missing, seconds) {
            begun += 1;
            scene.bring(&flight, &hundredth.to_string(), seconds);
        }
        let version = scene.cache.usable(scene.at(seconds)).unwrap().version;
        let rejected = scene.cache.rejected(scene.sent(version, seconds), false, scene.asker(seconds));
        if let AfterRejection::Begun(_, flight) = rejected {
            begun += 1;
            scene.abort(&flight, seconds);
        }
    }
    assert!(begun <= 20, "{begun}");
}

#[test]
fn s1_an_acceptance_takes_the_lock_only_while_a_renewal_is_judged() {
    let scene = Scene::with_a_token();
    let awaits = || scene.cache.awaits_acceptance.load(Relaxed);
    assert!(!awaits());
    renew(&scene, 1, 1.0);
    assert!(awaits());
    scene.accept(2, 1.1);
    assert!(awaits(), "the old token may still be accepted");
    scene.accept(2, 2.2);
    assert!(!awaits());
    let (_, flight) = scene.begin(Trigger::Forced, 3.0);
    scene.fail(&flight, 3.0);
    scene.reject(2, 4.0);
    assert!(awaits(), "in a row with the next");
    scene.accept(2, 4.0);
    assert!(!awaits());
    scene.cache.replay_rejected(2, scene.at(5.0).instant);
    assert!(awaits());
}

#[test]
fn s1_an_aborted_renewal_keeps_no_request_at_the_lock() {
    let scene = Scene::with_a_token();
    let flight = flight_of(scene.reject(1, 1.0));
    scene.abort(&flight, 1.0);
    scene.accept(1, 1.1);
    assert!(!scene.cache.awaits_acceptance.load(Relaxed));
}

#[test]
fn s1_a_request_with_a_fresh_token_waits_for_no_lock() {
    let scene = Arc::new(Scene::with_a_token());
    let held = scene.cache.state();
    let (done, is_done) = mpsc::channel();
    let request = Arc::clone(&scene);
    thread::spawn(move || {
        let current = request.cache.current();
        let current = current.as_ref().unwrap();
        assert!(!current.needs_refresh(nanos(current.age(request.at(1.0))), 0));
        request.cache.accepted(request.sent(1, 1.0));
        done.send(()).unwrap();
    });
    assert!(is_done.recv_timeout(30 * SECOND).is_ok(), "it waits for the lock");
    drop(held);
}

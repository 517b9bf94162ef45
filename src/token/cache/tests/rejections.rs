//! What becomes of a rejected token, and of the requests that carried it or wait for its successor.

use super::*;

#[test]
fn r5_the_first_rejection_in_a_row_fetches_and_leaves_the_token_in_use_for_everyone_else() {
    let scene = Scene::with_a_token();
    let flight = flight_of(scene.reject(1, 1.0));
    assert_eq!(flight.trigger, Trigger::Rejected { version: 1 });
    assert_eq!(flight.rejected.as_ref().map(AccessToken::expose_secret), Some("1"), "not the same again");
    assert_eq!(scene.in_use(1.0).as_deref(), Some("1"));
    scene.bring(&flight, "2", 1.1);
    assert_eq!(scene.in_use(1.1).as_deref(), Some("2"));
}

#[test]
fn r5_the_second_rejection_in_a_row_retires_the_token_and_new_requests_wait() {
    let scene = Scene::with_a_token();
    let flight = flight_of(scene.reject(1, 1.0));
    assert_eq!(told(&scene.reject(1, 1.0)), "wait");
    assert_eq!(scene.in_use(1.0), None);
    joined(scene.ask(Trigger::Missing, 1.0));
    scene.bring(&flight, "2", 1.1);
    assert_eq!(scene.in_use(1.1).as_deref(), Some("2"));
}

#[test]
fn r5_the_second_rejection_in_a_row_retires_the_token_when_it_begins_the_fetch_too() {
    let scene = Scene::in_backoff();
    assert_eq!(told(&scene.reject(1, 2.0)), "replay now");
    let flight = flight_of(scene.reject(1, 11.0));
    assert_eq!(scene.in_use(11.0), None);
    assert_eq!(flight.rejected.as_ref().map(AccessToken::expose_secret), Some("1"));
}

#[test]
fn r5_an_acceptance_between_two_rejections_makes_the_second_a_first() {
    let scene = Scene::with_a_token();
    scene.reject(1, 1.0);
    scene.accept(1, 1.0);
    assert_eq!(told(&scene.reject(1, 1.0)), "wait");
    assert_eq!(scene.in_use(1.0).as_deref(), Some("1"));
}

#[test]
fn r5_an_acceptance_of_an_earlier_token_changes_nothing() {
    let scene = Scene::with_a_token();
    let flight = flight_of(scene.reject(1, 1.0));
    scene.bring(&flight, "2", 1.0);
    scene.reject(2, 1.0);
    scene.accept(1, 1.0);
    scene.reject(2, 1.0);
    assert_eq!(scene.in_use(1.0), None);
}

#[test]
fn r5_a_new_token_begins_with_nothing_against_it() {
    let (scene, flight) = Scene::retired();
    scene.bring(&flight, "2", 1.1);
    assert_eq!(told(&scene.reject(2, 1.2)), "begun");
    assert_eq!(scene.in_use(1.2).as_deref(), Some("2"));
    assert_eq!(told(&scene.reject(2, 1.2)), "wait");
    assert_eq!(scene.in_use(1.2), None);
}

#[test]
fn r5_a_replay_that_is_rejected_counts_as_a_rejection_of_its_token() {
    let scene = Scene::with_a_token();
    let flight = flight_of(scene.reject(1, 1.0));
    scene.bring(&flight, "2", 1.1);
    scene.cache.replay_rejected(2, scene.at(1.2).instant);
    assert_eq!(scene.in_use(1.2).as_deref(), Some("2"), "retires nothing by itself");
    scene.reject(2, 1.2);
    assert_eq!(scene.in_use(1.2), None);
}

#[test]
fn r5_without_budget_the_first_is_replayed_at_once_and_the_second_is_throttled() {
    let scene = Scene::without_budget();
    assert_eq!([0; 3].map(|_| told(&scene.reject(5, 1.0))), ["replay now", "throttled", "throttled"]);
    assert_eq!(scene.in_use(1.0).as_deref(), Some("5"));
    scene.accept(5, 1.0);
    assert_eq!(told(&scene.reject(5, 1.0)), "replay now");
}

#[test]
fn r5_during_a_backoff_the_first_is_replayed_at_once_and_the_second_gets_its_response() {
    let scene = Scene::in_backoff();
    assert_eq!([0; 3].map(|_| told(&scene.reject(1, 2.0))), ["replay now", "fetch failed", "fetch failed"]);
    assert_eq!(scene.in_use(2.0).as_deref(), Some("1"));
    scene.accept(1, 2.0);
    assert_eq!(told(&scene.reject(1, 2.0)), "replay now");
    assert_eq!(told(&scene.reject(1, 11.0)), "begun", "once it has ended");
}

#[test]
fn r5_a_backoff_costs_no_unit_and_counts_before_the_budget() {
    let scene = Scene::without_budget();
    let (_, flight) = scene.begin(Trigger::Forced, 1.0);
    scene.fail(&flight, 1.0);
    assert_eq!([0; 2].map(|_| told(&scene.reject(5, 2.0))), ["replay now", "fetch failed"]);
}

#[test]
fn r5_a_rejection_while_a_fetch_is_under_way_waits_for_it() {
    let scene = Scene::with_a_token();
    let flight = scene.refresh_if_due(0, 80.0).unwrap();
    assert_eq!(told(&scene.reject(1, 80.0)), "wait");
    assert_eq!(scene.in_use(80.0).as_deref(), Some("1"));
    assert_eq!(told(&scene.reject(1, 80.0)), "wait");
    assert_eq!(scene.in_use(80.0), None, "the second");
    scene.bring(&flight, "2", 80.1);
    assert_eq!(scene.in_use(80.1).as_deref(), Some("2"));
}

#[test]
fn r5_a_retired_token_comes_back_if_the_fetch_of_its_successor_fails() {
    for (accepted, next) in [(false, "fetch failed"), (true, "replay now")] {
        let (scene, flight) = Scene::retired();
        let mut waiter = joined(scene.ask(Trigger::Missing, 1.0));
        scene.fail(&flight, 2.0);
        assert!(matches!(poll(&mut waiter, Arc::<Count>::default()), Poll::Ready(Err(_))));
        assert_eq!(scene.in_use(2.0).as_deref(), Some("1"), "every waiting request may go on with it");
        if accepted {
            scene.accept(1, 3.0);
        }
        assert_eq!(told(&scene.reject(1, 3.0)), next, "its count goes on until then");
    }
}

#[test]
fn r5_a_retired_token_comes_back_only_while_it_lives() {
    let (scene, flight) = Scene::retired();
    scene.fail(&flight, 89.0);
    assert_eq!(scene.in_use(89.9).as_deref(), Some("1"));
    assert_eq!(scene.in_use(90.0), None);
    assert_eq!(name(&scene.ask(Trigger::Missing, 90.0)), "backing off");
}

#[test]
fn r5_a_retired_token_does_not_come_back_if_the_fetch_is_aborted_and_the_next_caller_fetches() {
    let (scene, flight) = Scene::retired();
    scene.abort(&flight, 2.0);
    assert_eq!(scene.in_use(2.0), None);
    let (_, flight) = scene.begin(Trigger::Missing, 2.0);
    assert_eq!(flight.rejected.as_ref().map(AccessToken::expose_secret), Some("1"));
    scene.fail(&flight, 3.0);
    assert_eq!(scene.in_use(3.0).as_deref(), Some("1"), "that one failed");
}

#[test]
fn r5_where_no_token_is_usable_a_rejection_fetches_whatever_the_budget() {
    let scene = Scene::without_budget();
    let token = scene.cache.usable(scene.at(1.0)).unwrap();
    scene.cache.invalidate(&token.token);
    assert_eq!(told(&scene.reject(5, 1.0)), "begun");
}

#[test]
fn r6_a_rejected_request_whose_token_has_expired_is_not_replayed_during_a_backoff() {
    let scene = Scene::with_a_token();
    let flight = scene.refresh_if_due(0, 85.0).unwrap();
    scene.fail(&flight, 89.0);
    assert_eq!(told(&scene.reject(1, 91.0)), "fetch failed");
}

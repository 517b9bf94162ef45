//! Which token a rejection or an invalidation is about.

use super::*;

#[test]
fn r2_a_late_rejection_of_an_earlier_token_leaves_its_successor_alone() {
    let scene = Scene::with_a_token();
    let flight = flight_of(scene.reject(1, 1.0));
    scene.bring(&flight, "2", 1.1);
    assert_eq!([0; 3].map(|_| told(&scene.reject(1, 1.2))), ["replay now"; 3], "r3: with the newer one");
    assert_eq!(scene.in_use(1.2).as_deref(), Some("2"));
    assert_eq!(told(&scene.reject(2, 1.2)), "begun");
    assert_eq!(scene.in_use(1.2).as_deref(), Some("2"), "they did not count against it");
}

/// Two rejections in a row that nothing could be done about, and then one of an earlier token, which comes when the newest
/// has expired.
#[test]
fn r2_a_late_rejection_of_an_earlier_token_retires_no_expired_one() {
    let scene = Scene::without_budget();
    assert_eq!([0; 2].map(|_| told(&scene.reject(5, 1.1))), ["replay now", "throttled"]);
    let is_there = || scene.cache.current().is_some();
    assert!(scene.in_use(92.0).is_none() && is_there(), "expired, and not retired");
    let flight = flight_of(scene.reject(1, 92.0));
    assert!(is_there());
    assert_eq!(told(&scene.reject(1, 92.0)), "wait");
    assert!(is_there(), "nor with the fetch under way");
    assert_eq!(told(&scene.reject(5, 92.0)), "wait");
    assert!(!is_there(), "its own third rejection does");
    scene.fail(&flight, 92.1);
}

#[test]
fn r3_a_newer_token_is_taken_at_once_even_while_its_own_successor_is_being_fetched() {
    let scene = Scene::with_a_token();
    let (_, flight) = scene.begin(Trigger::Forced, 1.0);
    scene.bring(&flight, "2", 1.0);
    scene.begin(Trigger::Forced, 1.0);
    assert_eq!(told(&scene.reject(1, 1.0)), "replay now");
}

#[test]
fn r3_a_rejected_request_that_starts_over_takes_a_newer_token_but_not_the_rejected_one() {
    let scene = Scene::with_a_token();
    let (_, flight) = scene.begin(Trigger::Forced, 1.0);
    scene.bring(&flight, "2", 1.0);
    assert_eq!(name(&scene.ask(Trigger::Rejected { version: 1 }, 1.0)), "usable");
    scene.begin(Trigger::Rejected { version: 2 }, 1.0);
}

#[test]
fn r3_a_newer_token_that_was_retired_meanwhile_is_waited_for() {
    let scene = Scene::with_a_token();
    let (_, flight) = scene.begin(Trigger::Forced, 1.0);
    scene.bring(&flight, "2", 1.0);
    scene.reject(2, 1.0);
    scene.reject(2, 1.0);
    assert_eq!(told(&scene.reject(1, 1.0)), "wait");
}

#[test]
fn r11_the_same_text_again_is_the_same_token() {
    let scene = Scene::with_a_token();
    let flight = flight_of(scene.reject(1, 1.0));
    scene.bring(&flight, "1", 1.1);
    let Answer::Usable(again) = scene.ask(Trigger::Missing, 1.1) else { panic!("not published") };
    assert!(
        again.version == 2 && again.has_value_of_version(1),
        "a waiting request can tell that it would be rejected"
    );
    scene.reject(1, 1.2);
    scene.reject(2, 1.2);
    assert_eq!(scene.in_use(1.2), None, "twice in a row");
}

#[test]
fn r12_an_invalidated_token_is_gone_for_good_whatever_the_budget() {
    let scene = Scene::without_budget();
    let token = scene.cache.usable(scene.at(1.0)).unwrap();
    scene.cache.invalidate(&token.token);
    assert_eq!(scene.in_use(1.0), None);
    let (_, flight) = scene.begin(Trigger::Missing, 1.0);
    assert_eq!(flight.rejected.as_ref().map(AccessToken::expose_secret), Some("5"));
    scene.fail(&flight, 1.0);
    assert_eq!(scene.in_use(1.0), None, "r5: it does not come back");
}

#[test]
fn r12_only_the_newest_token_is_invalidated() {
    let scene = Scene::with_a_token();
    let first = scene.cache.usable(scene.at(0.0)).unwrap();
    let (_, flight) = scene.begin(Trigger::Forced, 1.0);
    scene.bring(&flight, "2", 1.0);
    scene.cache.invalidate(&first.token);
    assert_eq!(scene.in_use(1.0).as_deref(), Some("2"));
}

#[test]
fn r12_a_retired_token_that_is_invalidated_does_not_come_back() {
    let (scene, flight) = Scene::retired();
    scene.cache.invalidate(&AccessToken::new("1", None).unwrap());
    scene.fail(&flight, 2.0);
    assert_eq!(scene.in_use(2.0), None);
}

#[test]
fn r12_an_invalidated_token_that_is_rejected_afterwards_does_not_come_back() {
    let scene = Scene::with_a_token();
    scene.cache.invalidate(&AccessToken::new("1", None).unwrap());
    let flight = flight_of(scene.reject(1, 1.0));
    scene.reject(1, 1.0);
    scene.fail(&flight, 2.0);
    assert_eq!(scene.in_use(2.0), None);
}

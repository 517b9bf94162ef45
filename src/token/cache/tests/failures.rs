//! Fetches that fail, are aborted or come too late; backoff and rotation.

use super::*;

#[test]
fn t2_an_aborted_fetch_leaves_no_backoff_for_the_next_caller() {
    let scene = Scene::new();
    let (mut waiter, flight) = scene.begin(Trigger::Missing, 0.0);
    scene.abort(&flight, 0.0);
    let Poll::Ready(Err(error)) = poll(&mut waiter, Arc::<Count>::default()) else { panic!("still waiting") };
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Aborted, None));
    scene.begin(Trigger::Missing, 0.0);
    assert_eq!(scene.cache.failures_in_a_row(), 0);
}

#[test]
fn t2_an_aborted_early_refresh_is_not_begun_again_within_a_second() {
    let scene = Scene::with_a_token();
    let flight = scene.refresh_if_due(0, 80.0).unwrap();
    scene.abort(&flight, 80.5);
    assert!(scene.refresh_if_due(0, 81.4).is_none() && scene.refresh_if_due(0, 81.5).is_some());
}

#[test]
fn t2_an_aborted_refresh_after_a_rotation_is_not_begun_again_within_a_second() {
    let scene = Scene::with_a_token();
    let flight = scene.refresh_if_due(1, 10.0).unwrap();
    scene.abort(&flight, 10.0);
    assert!(scene.refresh_if_due(1, 10.9).is_none() && scene.refresh_if_due(1, 11.0).is_some());
}

#[test]
fn t2_a_fetch_is_overdue_after_its_limit_and_displaces_nothing_if_it_ends_after_all() {
    let scene = Scene::new();
    let (_, late) = scene.begin(Trigger::Missing, 5.0);
    assert!(scene.cache.overdue(scene.at(34.9).instant).is_none());
    assert!(scene.cache.overdue(scene.at(35.0).instant).is_some_and(|flight| Arc::ptr_eq(&flight, &late)));
    scene.abort(&late, 35.0);
    let (_, next) = scene.begin(Trigger::Missing, 35.0);
    scene.bring(&late, "late", 36.0);
    assert_eq!(scene.in_use(36.0), None);
    scene.bring(&next, "next", 37.0);
    scene.fail(&late, 38.0);
    assert_eq!(scene.in_use(38.0).as_deref(), Some("next"));
    let record = scene.cache.record();
    assert_eq!((record.issued, record.failures, record.last_error.is_none()), (1, 1, true));
}

#[test]
fn t2_a_fetch_is_known_to_run_in_another_runtime_from_its_beginning() {
    let scene = Scene::new();
    let (_, flight) = scene.begin(Trigger::Missing, 0.0);
    assert!(!flight.runs_in_another_runtime(), "outside of a runtime there are no timers to watch it with");
    let here = Builder::new_current_thread().build().unwrap();
    let _entered = here.enter();
    assert!(flight.runs_in_another_runtime());
    let asker = Asker { runtime: Some(here.handle().id()), ..scene.asker(0.0) };
    scene.abort(&flight, 0.0);
    assert!(!begun(scene.cache.ask(Trigger::Missing, asker)).1.runs_in_another_runtime());
}

#[test]
fn t11_no_fetch_begins_where_there_is_no_runtime() {
    let scene = Scene::with_a_token();
    let asker = |seconds| Asker { runtime: None, ..scene.asker(seconds) };
    assert!(scene.cache.refresh_if_due(Trigger::Stale, asker(80.0)).is_none());
    let rejected = scene.cache.rejected(scene.sent(1, 80.0), true, asker(80.0));
    assert!(matches!(rejected, AfterRejection::ReplayNow));
    assert_eq!(name(&scene.cache.ask(Trigger::Missing, asker(90.0))), "no runtime");
    let (_, flight) = scene.begin(Trigger::Missing, 90.0);
    joined(scene.cache.ask(Trigger::Missing, asker(90.0)));
    scene.fail(&flight, 90.0);
    assert_eq!(name(&scene.cache.ask(Trigger::Missing, asker(91.0))), "backing off");
}

#[test]
fn t8_a_backoff_answers_at_once_and_tells_how_long_it_lasts() {
    let scene = Scene::new();
    let (_, flight) = scene.begin(Trigger::Missing, 0.0);
    scene.fail(&flight, 0.0);
    for trigger in [Trigger::Missing, Trigger::KeepWarm, Trigger::Rejected { version: 0 }] {
        let Answer::BackingOff(error) = scene.ask(trigger, 4.0) else { panic!("no backoff") };
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Unavailable, Some(6 * SECOND)));
    }
    assert_eq!(scene.cache.fetch_due_in(scene.at(4.0)), Some(6 * SECOND));
    scene.begin(Trigger::Missing, 10.0);
}

#[test]
fn t8_a_rotation_ends_the_backoff_of_the_old_secret() {
    let scene = Scene::new();
    let (_, flight) = scene.begin(Trigger::Missing, 0.0);
    scene.fail(&flight, 0.0);
    let (_, flight) = begun(scene.cache.ask(Trigger::Missing, scene.asker_of(1, 1.0)));
    scene.fail(&flight, 1.0);
    assert_eq!(
        name(&scene.cache.ask(Trigger::Missing, scene.asker_of(1, 2.0))),
        "backing off",
        "the new one has its own"
    );
    assert_eq!(scene.cache.failures_in_a_row(), 2);
}

#[test]
fn t8_a_forced_refresh_ends_the_backoff_however_it_ends() {
    for ends_with_a_token in [true, false] {
        let scene = Scene::new();
        let (_, flight) = scene.begin(Trigger::Missing, 0.0);
        scene.fail(&flight, 0.0);
        let (_, flight) = scene.begin(Trigger::Forced, 1.0);
        joined(scene.ask(Trigger::Missing, 1.0));
        if ends_with_a_token {
            scene.bring(&flight, "1", 2.0);
            assert_eq!(scene.cache.failures_in_a_row(), 0);
        } else {
            scene.abort(&flight, 2.0);
            scene.begin(Trigger::Missing, 2.0);
        }
    }
}

#[test]
fn t14_a_rotation_is_renewed_for_at_once_and_after_a_failure_again() {
    let scene = Scene::with_a_token();
    let flight = scene.refresh_if_due(1, 1.0).unwrap();
    assert_eq!(flight.trigger, Trigger::Rotated);
    scene.fail(&flight, 2.0);
    assert_eq!(scene.in_use(2.0).as_deref(), Some("1"));
    assert!(scene.refresh_if_due(1, 11.9).is_none());
    let flight = scene.refresh_if_due(1, 12.0).unwrap();
    scene.bring(&flight, "2", 13.0);
    assert!(scene.refresh_if_due(1, 14.0).is_none(), "the new secret has its token");
}

#[test]
fn t14_a_rotation_during_a_fetch_is_renewed_for_after_it() {
    let scene = Scene::with_a_token();
    let flight = scene.refresh_if_due(1, 1.0).unwrap();
    assert!(scene.refresh_if_due(2, 1.5).is_none());
    scene.bring(&flight, "2", 2.0);
    assert_eq!(scene.refresh_if_due(2, 2.0).unwrap().trigger, Trigger::Rotated);
}

#[test]
fn t14_a_retired_token_that_comes_back_after_a_rotation_respects_the_backoff() {
    let scene = Scene::with_a_token();
    scene.reject(1, 1.0);
    let AfterRejection::Wait(waiter) = scene.reject(1, 1.0) else { panic!("nothing to wait for") };
    scene.abort(waiter.flight(), 1.0);
    let (_, flight) = begun(scene.cache.ask(Trigger::Missing, scene.asker_of(1, 2.0)));
    scene.fail(&flight, 3.0);
    assert_eq!(scene.in_use(3.0).as_deref(), Some("1"));
    assert!(scene.refresh_if_due(1, 12.9).is_none() && scene.refresh_if_due(1, 13.0).is_some());
}

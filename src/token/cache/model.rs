//! What holds whatever order threads come to the cache in, tried by a model checker, and by copies that break it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a model may panic: that is how it tells")]

mod broken;
mod scenarios;
mod world;

use self::{
    broken::{
        BeginsAfterItTook, BeginsInASecondLock, BringsBackAfterItWoke, BringsBackTheNewest, FinishesAnyFlight,
        GivesBackForAnyFetch, HandsOutWhatWasBrought, InvalidatesInASecondLock, JudgesACopy, LooksBeforeItRegisters,
        NotesOutsideOfTheLock, RetiresInASecondLock, RetiresTheCurrent,
    },
    scenarios as when,
    world::Sound,
};
use crate::token::sync::model::check;

#[test]
fn t1_two_callers_begin_one_fetch() {
    check(when::two_callers_ask::<Sound>);
}

#[test]
fn t1_two_cold_callers_share_one_fetch() {
    check(when::two_callers_are_cold::<Sound>);
}

#[test]
fn t1_a_forced_refresh_joins_or_follows_the_fetch() {
    check(when::a_refresh_is_forced_during_a_fetch::<Sound>);
}

#[test]
fn t3_a_caller_who_looks_while_the_token_is_published_is_not_forgotten() {
    check(when::a_caller_meets_a_publication::<Sound>);
}

#[test]
fn s8_a_caller_who_gives_up_takes_nothing_from_the_others() {
    check(when::a_caller_gives_up::<Sound>);
}

#[test]
fn t2_who_waited_for_a_fetch_that_died_hears_of_it_and_the_next_starts_anew() {
    check(when::a_fetch_dies::<Sound>);
}

#[test]
fn t2_a_fetch_that_was_given_up_displaces_nothing_when_it_comes_back() {
    check(when::a_fetch_comes_back_too_late::<Sound>);
    check(when::a_fetch_comes_back_after_its_successor::<Sound>);
}

#[test]
fn t8_two_callers_at_the_end_of_a_backoff_share_one_fetch() {
    check(when::a_backoff_ends::<Sound>);
}

#[test]
fn t14_a_rotation_during_a_publication_is_not_forgotten() {
    check(when::a_rotation_meets_a_publication::<Sound>);
}

#[test]
fn r2_a_late_rejection_leaves_the_successor_alone() {
    check(when::a_rejection_meets_a_publication::<Sound>);
}

#[test]
fn r5_two_rejections_of_one_token_share_one_fetch_and_cost_one_unit() {
    check(when::two_requests_are_rejected::<Sound>);
}

#[test]
fn r5_a_caller_who_waited_for_the_successor_of_a_retired_token_goes_on_with_it_if_the_fetch_fails() {
    check(when::a_retired_token_comes_back::<Sound>);
}

#[test]
fn r5_an_acceptance_beside_a_rejection_is_not_forgotten() {
    check(when::an_acceptance_meets_a_rejection::<Sound>);
}

#[test]
fn r5_a_unit_comes_back_once() {
    check(when::a_judgement_meets_a_rejection::<Sound>);
    check(when::a_renewal_fails_too_late::<Sound>);
}

#[test]
fn r12_a_token_that_was_invalidated_is_not_handed_out_to_who_waited_for_it() {
    check(when::a_token_is_invalidated_on_arrival::<Sound>);
}

#[test]
fn r12_an_invalidated_token_does_not_come_back_and_takes_no_other_with_it() {
    check(when::an_invalidation_meets_a_failure::<Sound>);
    check(when::an_invalidation_meets_a_publication::<Sound>);
}

#[test]
#[should_panic(expected = "two fetches at once")]
fn to_look_and_to_begin_under_one_lock_is_needed() {
    check(when::two_callers_ask::<BeginsInASecondLock>);
}

#[test]
#[should_panic(expected = "two fetches at once")]
fn to_take_a_unit_and_to_begin_under_one_lock_is_needed() {
    check(when::two_requests_are_rejected::<BeginsAfterItTook>);
}

#[test]
#[should_panic(expected = "a caller was forgotten")]
fn to_look_and_to_register_under_one_lock_is_needed() {
    check(when::a_caller_meets_a_publication::<LooksBeforeItRegisters>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn to_compare_before_a_token_is_retired_is_needed() {
    check(when::a_rejection_meets_a_publication::<RetiresTheCurrent>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn to_compare_and_to_retire_under_one_lock_is_needed() {
    check(when::a_rejection_meets_a_publication::<RetiresInASecondLock>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn to_compare_and_to_invalidate_under_one_lock_is_needed() {
    check(when::an_invalidation_meets_a_publication::<InvalidatesInASecondLock>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn to_ask_whose_fetch_ends_is_needed() {
    check(when::a_fetch_comes_back_after_its_successor::<FinishesAnyFlight>);
}

#[test]
#[should_panic(expected = "a unit was given back twice")]
fn to_ask_whose_unit_comes_back_is_needed() {
    check(when::a_renewal_fails_too_late::<GivesBackForAnyFetch>);
}

#[test]
#[should_panic(expected = "a unit was given back twice")]
fn to_judge_a_renewal_under_one_lock_is_needed() {
    check(when::a_judgement_meets_a_rejection::<JudgesACopy>);
}

#[test]
#[should_panic(expected = "an acceptance was forgotten")]
fn to_note_under_the_lock_that_acceptances_are_awaited_is_needed() {
    check(when::an_acceptance_meets_a_rejection::<NotesOutsideOfTheLock>);
}

#[test]
#[should_panic(expected = "an invalidated token came back")]
fn to_remember_that_a_token_was_invalidated_is_needed() {
    check(when::an_invalidation_meets_a_failure::<BringsBackTheNewest>);
}

#[test]
#[should_panic(expected = "a caller was refused though the token lives")]
fn to_bring_a_token_back_before_anyone_is_woken_is_needed() {
    check(when::a_retired_token_comes_back::<BringsBackAfterItWoke>);
}

#[test]
#[should_panic(expected = "an invalidated token was handed out")]
fn to_look_again_after_a_wake_up_is_needed() {
    check(when::a_token_is_invalidated_on_arrival::<HandsOutWhatWasBrought>);
}

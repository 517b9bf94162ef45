//! What holds in every order of threads, checked with loom and shuttle; broken copies prove that the checkers would notice.

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
fn t2_a_caller_hears_that_its_fetch_was_aborted_and_the_next_one_starts_anew() {
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
    check(when::two_rejections_meet::<Sound>);
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
    check(when::a_judgment_meets_a_rejection::<Sound>);
    check(when::a_renewal_fails_too_late::<Sound>);
}

#[test]
fn r12_an_invalidated_token_is_not_handed_out_to_a_caller_who_waited_for_it() {
    check(when::a_token_is_invalidated_on_arrival::<Sound>);
}

#[test]
fn r12_an_invalidated_token_does_not_come_back_and_takes_no_other_with_it() {
    check(when::an_invalidation_meets_a_failure::<Sound>);
    check(when::an_invalidation_meets_a_publication::<Sound>);
}

#[test]
#[should_panic(expected = "two fetches at once")]
fn t1_a_fetch_that_begins_in_a_second_lock_is_found_out() {
    check(when::two_callers_ask::<BeginsInASecondLock>);
}

#[test]
#[should_panic(expected = "two fetches at once")]
fn r5_a_unit_taken_in_another_lock_than_its_fetch_is_found_out() {
    check(when::two_rejections_meet::<BeginsAfterItTook>);
}

#[test]
#[should_panic(expected = "a caller was forgotten")]
fn t3_a_waker_registered_in_a_second_lock_is_found_out() {
    check(when::a_caller_meets_a_publication::<LooksBeforeItRegisters>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn r2_a_token_retired_without_comparison_is_found_out() {
    check(when::a_rejection_meets_a_publication::<RetiresTheCurrent>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn r2_a_token_retired_in_a_second_lock_is_found_out() {
    check(when::a_rejection_meets_a_publication::<RetiresInASecondLock>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn r12_a_token_invalidated_in_a_second_lock_is_found_out() {
    check(when::an_invalidation_meets_a_publication::<InvalidatesInASecondLock>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn t2_a_late_fetch_that_publishes_its_token_is_found_out() {
    check(when::a_fetch_comes_back_after_its_successor::<FinishesAnyFlight>);
}

#[test]
#[should_panic(expected = "a unit was given back twice")]
fn r5_a_late_fetch_that_gives_back_a_unit_is_found_out() {
    check(when::a_renewal_fails_too_late::<GivesBackForAnyFetch>);
}

#[test]
#[should_panic(expected = "a unit was given back twice")]
fn r5_a_renewal_judged_on_a_copy_is_found_out() {
    check(when::a_judgment_meets_a_rejection::<JudgesACopy>);
}

#[test]
#[should_panic(expected = "an acceptance was forgotten")]
fn r5_an_acceptance_flag_stored_outside_of_the_lock_is_found_out() {
    check(when::an_acceptance_meets_a_rejection::<NotesOutsideOfTheLock>);
}

#[test]
#[should_panic(expected = "an invalidated token came back")]
fn r12_an_invalidated_token_that_comes_back_is_found_out() {
    check(when::an_invalidation_meets_a_failure::<BringsBackTheNewest>);
}

#[test]
#[should_panic(expected = "a caller was refused though the token lives")]
fn r5_a_token_brought_back_after_its_waiters_were_woken_is_found_out() {
    check(when::a_retired_token_comes_back::<BringsBackAfterItWoke>);
}

#[test]
#[should_panic(expected = "an invalidated token was handed out")]
fn r12_a_token_handed_out_without_a_second_look_is_found_out() {
    check(when::a_token_is_invalidated_on_arrival::<HandsOutWhatWasBrought>);
}

//! What holds whatever order threads come to the store in, tried by a model checker, and by copies that break it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a model may panic: that is how it tells")]

mod broken;
mod scenarios;
mod world;

use self::{
    broken::{
        BeginsInASecondLock, ComparesAndThenWrites, ComparesOutsideOfTheLock, FinishesAnyFlight,
        HandsOutWhatWasBrought, LooksBeforeItRegisters, RetiresTheCurrent,
    },
    scenarios as when,
    world::Sound,
};
use crate::token::sync::model::check;

#[test]
fn t1_two_callers_begin_one_flight() {
    check(when::two_callers_ask::<Sound>);
}

#[test]
fn t1_two_cold_callers_share_one_flight() {
    check(when::two_callers_are_cold::<Sound>);
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
fn r2_two_rejections_of_one_token_share_one_flight() {
    check(when::a_token_is_rejected_twice::<Sound>);
}

#[test]
fn r2_a_late_rejection_leaves_the_successor_alone() {
    check(when::a_rejection_meets_a_publication::<Sound>);
}

#[test]
fn r12_a_token_that_was_retired_is_not_handed_out_to_who_waited_for_it() {
    check(when::a_token_is_retired_on_arrival::<Sound>);
}

#[test]
fn t14_a_rotation_during_a_publication_is_not_forgotten() {
    check(when::a_rotation_meets_a_publication::<Sound>);
}

#[test]
fn t1_a_forced_refresh_joins_or_follows_the_flight() {
    check(when::a_refresh_is_forced_during_a_flight::<Sound>);
}

#[test]
fn t2_who_waited_for_a_flight_that_died_hears_of_it_and_the_next_starts_anew() {
    check(when::a_flight_dies::<Sound>);
}

#[test]
fn t2_a_flight_that_was_given_up_displaces_nothing_when_it_comes_back() {
    check(when::a_flight_comes_back_too_late::<Sound>);
    check(when::a_flight_comes_back_after_its_successor::<Sound>);
}

#[test]
fn t8_two_callers_at_the_end_of_a_cool_down_share_one_flight() {
    check(when::a_cool_down_ends::<Sound>);
}

#[test]
fn r5_the_newest_accepted_token_is_remembered() {
    check(when::two_tokens_are_accepted::<Sound>);
}

#[test]
#[should_panic(expected = "two flights at once")]
fn to_look_and_to_begin_under_one_lock_is_needed() {
    check(when::two_callers_ask::<BeginsInASecondLock>);
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
    check(when::a_rejection_meets_a_publication::<ComparesOutsideOfTheLock>);
}

#[test]
#[should_panic(expected = "a retired token was handed out")]
fn to_look_again_after_a_wake_up_is_needed() {
    check(when::a_token_is_retired_on_arrival::<HandsOutWhatWasBrought>);
}

#[test]
#[should_panic(expected = "a newer token was displaced")]
fn to_ask_whose_flight_ends_is_needed() {
    check(when::a_flight_comes_back_after_its_successor::<FinishesAnyFlight>);
}

#[test]
#[should_panic(expected = "the counters disagree")]
fn to_compare_and_to_write_in_one_step_is_needed() {
    check(when::two_tokens_are_accepted::<ComparesAndThenWrites>);
}

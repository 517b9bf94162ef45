//! A layer's token: who fetches it, when it is fetched again, how long it is used, and what a failure costs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "tokio's clock is paused wherever a test sleeps")]

#[cfg(feature = "paynet")]
mod a_changed_secret_file_is_a_rotation;
mod a_failed_fetch_is_followed_by_a_backoff;
mod a_fetch_retries_within_its_deadline;
mod a_fetch_that_dies_blocks_no_caller;
mod a_handle_inspects_and_refreshes_the_token;
mod a_layer_serves_several_runtimes;
mod a_rotated_secret_leaves_no_gap;
mod a_runtime_without_timers_is_an_error;
mod a_waiting_request_holds_no_permit;
mod fetches_are_a_second_apart;
mod foreign_code_may_call_back;
mod keep_warm_refreshes_without_traffic;
mod one_fetch_serves_all_callers;
#[path = "../support/mod.rs"]
mod support;
mod the_last_handle_frees_everything;
mod the_runtime_of_a_fetch_may_end;
mod tokens_are_refreshed_before_they_expire;
mod tokens_expire_by_tokios_clock;

use tokio::runtime::{Builder, Runtime};

/// A runtime on paused time.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

//! PayNet's settings: rejections that are reported in a body, and the documented flow against the sandbox.
#![cfg(feature = "paynet")]
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

mod a_body_is_read_ahead_no_further_than_needed;
mod environments_are_checked;
mod one_layer_has_all_that_paynet_needs;
mod only_whole_messages_count;
mod rejections_in_a_body_are_found;
mod script;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(feature = "sandbox", feature = "client"))]
mod the_flow_works_against_the_sandbox;

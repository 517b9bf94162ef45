//! Processes that share a token: one fetches, a store that fails costs no request, and nobody takes a foreign token.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "tokio's clock is paused where a test sleeps, but for sockets")]

#[cfg(feature = "redis")]
mod a_hostile_server_gets_nothing;
mod a_rejected_token_is_retired_for_all;
mod a_rotation_costs_two_token_requests_at_most;
mod a_store_that_fails_fails_no_request;
mod different_sources_never_share;
mod every_order_of_steps;
mod one_process_fetches_for_all;
mod only_this_fleet_reads_an_entry;
mod stage;
#[cfg(feature = "sandbox")]
mod stores_are_checked_by_the_conformance_suite;
#[path = "../support/mod.rs"]
mod support;

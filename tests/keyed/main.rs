//! Many tokens behind one client: each request is sent with the token of its own key, whatever happens to the entries.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the tests sleep on paused time")]

mod a_backoff_survives_eviction;
mod a_key_closure_misbehaves;
mod a_removed_key_gets_no_token;
mod a_strange_key_harms_no_other;
mod each_request_is_sent_with_its_own_token;
mod entries_are_limited;
mod no_key_is_shown;
mod one_entry_serves_all_callers;
mod random_operations;
mod random_world;
#[path = "../support/mod.rs"]
mod support;
mod tenants;

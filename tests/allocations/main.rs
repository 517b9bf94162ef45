//! What a request allocates, and what a `ReplayBody` keeps. A separate process, since its global allocator counts.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may panic")]

mod a_replay_body_keeps_to_its_limit;
mod a_warm_request_costs_what_its_headers_cost;
#[path = "../support/mod.rs"]
mod support;

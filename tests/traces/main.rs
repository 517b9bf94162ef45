//! Traces, as a program reads them that writes JSON: each with its level and its fields, and none where all goes well.
//!
//! One process for it, since it sets a global subscriber.
#![cfg(feature = "tracing")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "time is paused, and skewed clocks are of the wall clock")]

mod a_fetch_follows_from_what_caused_it;
mod each_near_origin_is_told_once;
mod every_trace_is_in_the_table;
mod json;
mod levels_fit_what_happens;
mod script;
#[path = "../support/mod.rs"]
mod support;

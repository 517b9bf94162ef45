//! Request signatures: when a request is signed, with which time and secret, and that others verify what is written.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic")]

mod client;
#[cfg(feature = "client")]
mod python_verifies_every_signature;
mod requests_are_signed_when_they_are_sent;
mod rules_decide_which_requests_are_signed;
#[path = "../support/mod.rs"]
mod support;

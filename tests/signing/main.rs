//! Request signatures: when a request is signed, with which time and secret, and that others verify what is written.
#![cfg(feature = "paynet")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic")]

mod a_token_and_its_signature_have_one_secret;
mod any_signer_can_be_used;
mod client;
#[cfg(feature = "client")]
mod python_verifies_every_signature;
mod requests_are_signed_when_they_are_sent;
mod rules_decide_which_requests_are_signed;
#[path = "../support/mod.rs"]
mod support;

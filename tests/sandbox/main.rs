//! Users can trust the sandbox: it refuses what PayNet refuses, injects the faults it is asked for, and counts right.
#![cfg(feature = "sandbox")]
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "jwt")]
mod a_client_may_sign_assertions;
mod any_api_can_be_served;
mod faults_hit_what_they_are_injected_for;
#[cfg(feature = "jwt")]
#[path = "../support/keys.rs"]
mod keys;
mod no_socket_is_needed;
mod requests_are_checked_as_paynet_checks_them;
mod the_sandbox_counts_and_cleans_up;
mod user;

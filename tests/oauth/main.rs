//! The token request (RFC 6749, section 4.4) and its response, with a token server in memory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "time is paused, and is what some of these tests measure")]

mod a_discovery_document_is_found;
mod a_failed_token_request_has_the_right_kind;
#[cfg(feature = "jwt")]
mod a_private_key_signs_assertions;
mod a_server_with_faults_is_used_again_soon;
mod an_assertion_authenticates_a_client;
mod an_assertion_file_is_read_at_every_fetch;
mod an_error_repeats_no_credential;
mod credentials_have_no_invisible_character;
mod every_token_response_is_read_with_care;
mod promises_hold_with_assertions;
mod settings_of_a_grant_are_in_its_request;
#[path = "../support/mod.rs"]
mod support;
mod the_query_of_the_token_url_is_not_told;
mod the_token_request_follows_rfc_6749;
mod unneeded_members_cost_no_token;

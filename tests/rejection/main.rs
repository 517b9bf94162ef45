//! Responses that reject a token: the token is renewed, the request replayed once, and neither without limit.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a counterpart in a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the tests sleep on paused time")]

mod a_rejected_request_is_replayed;
mod a_rejected_timestamp_corrects_the_clock;
mod a_token_that_the_api_does_not_know_yet;
mod a_wrong_clock_of_the_token_endpoint_does_no_harm;
mod an_invalidated_token_is_renewed;
mod answering;
mod load;
mod one_bad_caller_harms_no_other;
mod one_rejection_retires_nothing;
mod other_responses_tell_the_time_too;
mod renewal_figures;
mod renewals_are_throttled;
mod revoked_tokens_are_renewed_at_once;
mod some_rejected_requests_are_not_replayed;
mod some_responses_reject_the_token;
#[path = "../support/mod.rs"]
mod support;
mod the_body_of_a_rejection_is_discarded;

//! The layer from the outside: its builder, what it adds to which requests, and how it works with other Tower layers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the tests sleep on paused time")]

mod a_caller_decides_about_its_own_headers;
mod a_dropped_call_leaves_nothing;
mod a_request_waits_no_longer_than_max_wait;
mod a_second_url_parser_agrees_on_the_origin;
mod a_service_is_called_only_when_it_is_ready;
mod a_uri_without_a_host_needs_permission;
mod accept_when_leaves_a_401_to_its_caller;
mod an_inner_service_need_not_be_send;
mod an_origin_that_is_not_quite_configured_is_told_of;
mod bad_settings_are_refused_at_build;
mod callbacks_misbehave;
mod credentials_come_from_the_environment;
mod credentials_go_to_configured_origins_only;
mod debug_shows_the_settings;
mod every_order_of_tower_layers_works;
mod headers_of_the_http_client_are_left_to_it;
mod no_duration_breaks_a_layer;
#[cfg(all(feature = "client", feature = "paynet", feature = "sandbox"))]
mod public_api;
mod public_types_are_send_and_sync;
mod redirects_carry_no_credentials_away;
mod retries_outside_are_bounded;
mod sending;
mod some_requests_to_the_origin_pass_untouched;
mod strict_api;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "paynet")]
mod the_stack_order_table_is_right;
mod the_token_goes_into_the_header_of_the_settings;
mod token_errors_pass_through_other_layers;

/// The retry policy that users are advised to copy.
mod policy {
    include!("../../examples/retry_timeout/policy.rs");
}

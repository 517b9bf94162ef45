//! A process of its own, since it sets a global tracing subscriber and a panic hook: what is shown holds no secret.
#![expect(clippy::panic, reason = "a helper of a test may panic")]

#[cfg(feature = "tracing")]
mod a_subscriber_may_panic;
mod no_secret_is_shown;
mod no_type_shows_a_secret;
#[cfg(all(feature = "reqwest", feature = "tracing"))]
mod redirects_with_a_signature_are_traced;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "client")]
mod the_http_client_shows_no_secret;
#[cfg(feature = "tracing")]
mod traces_tell_of_fetches_and_rejections;

//! The only file that names spans and events.
//!
//! | what | level | when |
//! |---|---|---|
//! | span `token_fetch`: `layer`, `trigger`, `attempt`, `outcome`, `next_refresh_ms` | INFO | one for each fetch |
//! | event "token obtained" | INFO | a fetch has brought a token |
//! | event "token request failed, will try again" | INFO | within a fetch |
//! | event "token lifetime unusable, default assumed" | INFO | `expires_in` is not a positive number |
//! | event "no token" | WARN | a fetch has failed |
//! | event "client secret file cannot be used" | WARN | it was looked at; the last secret stays in use |
//! | event "discovery document cannot be read" | WARN | it was read again; the last one stays in use |
//! | event "tokens are rejected as fast as they are renewed" | WARN | the renewal budget is used up, once |
//! | event "response rejected", "request replayed", "rejected request not replayed" | DEBUG | a rejection |
//!
//! No header, no body and no secret gets here. A request with a usable token makes no event. While a thread panics nothing
//! is traced, as a subscriber that panics too would abort the process.

use std::{fmt, future::Future, time::Duration};

use crate::error::AuthError;

/// The span of one token fetch.
#[derive(Clone, Debug)]
pub(crate) struct FetchSpan {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

#[cfg(feature = "tracing")]
impl FetchSpan {
    pub(crate) fn none() -> Self {
        Self { span: tracing::Span::none() }
    }

    /// A root, since a fetch outlives the request that started it and serves others.
    pub(crate) fn new(layer: &'static str, trigger: &'static str) -> Self {
        let empty = tracing::field::Empty;
        let span = tracing::info_span!(
            parent: None,
            "token_fetch",
            layer,
            trigger,
            attempt = empty,
            outcome = empty,
            next_refresh_ms = empty
        );
        span.follows_from(tracing::Span::current());
        Self { span }
    }

    pub(crate) fn around<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        tracing::Instrument::instrument(future, self.span.clone())
    }

    pub(crate) fn attempt(&self, attempt: u32) {
        self.span.record("attempt", attempt);
    }

    pub(crate) fn will_try_again(&self, error: &AuthError, pause: Duration) {
        tracing::info!(parent: &self.span, kind = ?error.kind(), %error, pause_ms = millis(pause), "token request failed, will try again");
    }

    pub(crate) fn brought_token(&self, next_refresh: Duration) {
        if may_trace() {
            self.span.record("outcome", "token");
            self.span.record("next_refresh_ms", millis(next_refresh));
            tracing::info!(parent: &self.span, next_refresh_ms = millis(next_refresh), "token obtained");
        }
    }

    pub(crate) fn failed(&self, error: &AuthError, backoff: Duration) {
        if may_trace() {
            self.span.record("outcome", tracing::field::debug(error.kind()));
            tracing::warn!(
                parent: &self.span,
                kind = ?error.kind(),
                %error,
                description = error.oauth_error_description(),
                backoff_ms = millis(backoff),
                "no token"
            );
        }
    }
}

#[cfg(not(feature = "tracing"))]
#[expect(clippy::unused_self, reason = "the same methods as with the feature")]
impl FetchSpan {
    pub(crate) fn none() -> Self {
        Self {}
    }

    pub(crate) fn new(_layer: &'static str, _trigger: &'static str) -> Self {
        Self {}
    }

    pub(crate) fn around<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future
    }

    pub(crate) fn attempt(&self, _attempt: u32) {}
    pub(crate) fn will_try_again(&self, _error: &AuthError, _pause: Duration) {}
    pub(crate) fn brought_token(&self, _next_refresh: Duration) {}
    pub(crate) fn failed(&self, _error: &AuthError, _backoff: Duration) {}
}

/// The lifetime in a token response is of no use; the default takes its place.
pub(crate) fn lifetime_unusable() {
    #[cfg(feature = "tracing")]
    if may_trace() {
        tracing::info!("token lifetime unusable, default assumed");
    }
}

/// A response rejected the credentials of its request.
pub(crate) fn rejected(rejection: impl fmt::Debug, status: http::StatusCode) {
    #[cfg(feature = "tracing")]
    if may_trace() {
        tracing::debug!(?rejection, status = status.as_u16(), "response rejected");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (rejection, status);
}

/// A rejected request is sent again.
pub(crate) fn replayed() {
    #[cfg(feature = "tracing")]
    if may_trace() {
        tracing::debug!("request replayed");
    }
}

/// A rejected request is not sent again.
pub(crate) fn not_replayed(reason: impl fmt::Display) {
    #[cfg(feature = "tracing")]
    if may_trace() {
        tracing::debug!(%reason, "rejected request not replayed");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = reason;
}

/// The renewal budget is used up.
pub(crate) fn throttled(layer: &'static str) {
    #[cfg(feature = "tracing")]
    if may_trace() {
        tracing::warn!(
            layer,
            "tokens are rejected as fast as they are renewed: the API may reject this client, or the server may keep one \
             token per client and another process renews it"
        );
    }
    #[cfg(not(feature = "tracing"))]
    let _ = layer;
}

/// A file that holds the client secret cannot be read, or what it holds cannot be sent.
pub(crate) fn secret_file_unusable(why: &dyn fmt::Display) {
    #[cfg(feature = "tracing")]
    if may_trace() {
        tracing::warn!(%why, "client secret file cannot be used, the last secret stays in use");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = why;
}

/// The discovery document was to be read again.
pub(crate) fn discovery_failed(error: &AuthError) {
    #[cfg(feature = "tracing")]
    if may_trace() {
        tracing::warn!(kind = ?error.kind(), %error, "discovery document cannot be read, the last one stays in use");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// `keep_warm` was called where no task can run.
pub(crate) fn not_kept_warm() {
    #[cfg(feature = "tracing")]
    if may_trace() {
        tracing::warn!("keep_warm() outside of a tokio runtime does nothing");
    }
}

#[cfg(feature = "tracing")]
fn may_trace() -> bool {
    !std::thread::panicking()
}

#[cfg(feature = "tracing")]
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

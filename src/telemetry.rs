//! The only file that names spans and events.
//!
//! | what | level | when |
//! |---|---|---|
//! | span `token_flight`: `trigger`, `attempt`, `outcome`, `next_refresh_ms` | INFO | one for each flight |
//! | event "token obtained" | INFO | a flight has brought a token |
//! | event "token request failed, will try again" | INFO | within a flight |
//! | event "no token" | WARN | a flight has failed |
//! | event "token lifetime unusable, default assumed" | INFO | `expires_in` is no positive number |
//! | event "response rejected", "request sent again", "rejected request not sent again" | DEBUG | a rejection |
//!
//! No header, no body and no secret gets here. A warm request makes no event at all.

use std::{fmt, future::Future, time::Duration};

use crate::error::AuthError;

/// The span of one flight.
#[derive(Clone, Debug)]
pub(crate) struct FlightSpan {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

#[cfg(feature = "tracing")]
impl FlightSpan {
    /// A root of its own, since a flight outlives the request that started it and serves others.
    pub(crate) fn new(trigger: &'static str) -> Self {
        let empty = tracing::field::Empty;
        let span = tracing::info_span!(
            parent: None,
            "token_flight",
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
        self.span.record("outcome", "token");
        self.span.record("next_refresh_ms", millis(next_refresh));
        tracing::info!(parent: &self.span, next_refresh_ms = millis(next_refresh), "token obtained");
    }

    pub(crate) fn failed(&self, error: &AuthError, cool_down: Duration) {
        self.span.record("outcome", tracing::field::debug(error.kind()));
        tracing::warn!(parent: &self.span, kind = ?error.kind(), %error, cool_down_ms = millis(cool_down), "no token");
    }
}

#[cfg(not(feature = "tracing"))]
#[expect(clippy::unused_self, reason = "the same methods as with the feature")]
impl FlightSpan {
    pub(crate) fn new(_trigger: &'static str) -> Self {
        Self {}
    }

    pub(crate) fn around<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future
    }

    pub(crate) fn attempt(&self, _attempt: u32) {}
    pub(crate) fn will_try_again(&self, _error: &AuthError, _pause: Duration) {}
    pub(crate) fn brought_token(&self, _next_refresh: Duration) {}
    pub(crate) fn failed(&self, _error: &AuthError, _cool_down: Duration) {}
}

/// The lifetime in a token response is of no use; the default takes its place.
pub(crate) fn lifetime_unusable() {
    #[cfg(feature = "tracing")]
    tracing::info!("token lifetime unusable, default assumed");
}

/// A response rejected the credentials of its request.
pub(crate) fn rejected(what: impl fmt::Debug, status: http::StatusCode) {
    #[cfg(feature = "tracing")]
    tracing::debug!(rejection = ?what, status = status.as_u16(), "response rejected");
    #[cfg(not(feature = "tracing"))]
    let _ = (what, status);
}

/// A rejected request goes out once more.
pub(crate) fn sent_again() {
    #[cfg(feature = "tracing")]
    tracing::debug!("request sent again");
}

/// A rejected request does not go out once more.
pub(crate) fn not_sent_again(reason: impl fmt::Debug) {
    #[cfg(feature = "tracing")]
    tracing::debug!(?reason, "rejected request not sent again");
    #[cfg(not(feature = "tracing"))]
    let _ = reason;
}

/// `keep_warm` was asked for where no task can run.
pub(crate) fn not_kept_warm() {
    #[cfg(feature = "tracing")]
    tracing::warn!("keep_warm outside of a tokio runtime keeps nothing warm");
}

#[cfg(feature = "tracing")]
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The only module that names spans and events.
//!
//! | what | level | when |
//! |---|---|---|
//! | span `token_fetch`: `layer`, `trigger`, `attempt`, `outcome`, `next_refresh_ms` | INFO | one for each fetch |
//! | its fields `fleet` (hit, led, followed, degraded) and `fleet_reason` | | a token that processes share |
//! | event "shared token": `event`, `reason` | DEBUG | the same, and `retired` |
//! | event "token store failed" | WARN | a store is left alone for some seconds |
//! | event "token obtained" | INFO | a fetch has brought a token |
//! | event "token request failed, will try again" | INFO | within a fetch |
//! | event "token lifetime unusable, default assumed" | INFO | `expires_in` is not a positive number |
//! | event "no token" | WARN | a fetch has failed |
//! | event "client secret file cannot be used" | WARN | it was looked at; the last secret stays in use |
//! | event "discovery document cannot be read" | WARN | it was read again; the last one stays in use |
//! | event "tokens are rejected as fast as they are renewed" | WARN | the renewal budget is used up, once |
//! | event "a signed request was answered by another origin" | WARN | reqwest has followed a redirect with a signature or static header |
//! | event "response rejected", "request replayed", "rejected request not replayed" | DEBUG | a rejection |
//! | event "request sent without credentials": `requested`, `configured` | DEBUG | its origin is not quite the configured one |
//! | event "401 to a request without credentials": the same | DEBUG | that was its response |
//!
//! No header, no body and no secret gets here. A request with a usable token makes no event. While a thread panics nothing
//! is traced. A panic of a subscriber ends here, such as that of `eprintln!` when stderr is closed.

mod events;

#[cfg(feature = "tracing")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;

#[cfg(feature = "reqwest")]
pub(crate) use self::events::answered_by_another_origin;
pub(crate) use self::events::{
    discovery_failed, lifetime_unusable, not_kept_warm, not_published, not_replayed, other_origin,
    other_origin_refused, rejected, replayed, secret_file_unusable, shared, store_failed, throttled,
};
use crate::error::AuthError;

/// The span of one token fetch.
#[derive(Debug)]
pub(crate) struct FetchSpan {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

pin_project! {
    /// A future that is polled within the span.
    pub(crate) struct InSpan<F> {
        #[pin]
        future: F,
        span: FetchSpan,
    }
}

impl FetchSpan {
    pub(crate) fn around<F: Future>(&self, future: F) -> InSpan<F> {
        InSpan { future, span: self.clone() }
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.span.enter();
        let polled = this.future.poll(cx);
        this.span.exit();
        polled
    }
}

#[cfg(feature = "tracing")]
impl FetchSpan {
    /// A root, since a fetch outlives the request that started it and serves others.
    pub(crate) fn new(layer: &'static str, trigger: &'static str) -> Self {
        let empty = tracing::field::Empty;
        let span = trace(|| {
            tracing::info_span!(
                parent: None,
                "token_fetch",
                layer,
                trigger,
                attempt = empty,
                outcome = empty,
                next_refresh_ms = empty,
                fleet = empty,
                fleet_reason = empty
            )
        });
        let span = span.unwrap_or_else(tracing::Span::none);
        trace(|| _ = span.follows_from(tracing::Span::current()));
        Self { span }
    }

    fn enter(&self) {
        trace(|| self.span.with_subscriber(|(id, subscriber)| subscriber.enter(id)));
    }

    fn exit(&self) {
        trace(|| self.span.with_subscriber(|(id, subscriber)| subscriber.exit(id)));
    }

    pub(crate) fn attempt(&self, attempt: u32) {
        trace(|| _ = self.span.record("attempt", attempt));
    }

    pub(crate) fn will_try_again(&self, error: &AuthError, pause: Duration) {
        trace(|| {
            tracing::info!(parent: &self.span, kind = ?error.kind(), %error, pause_ms = millis(pause), "token request failed, will try again");
        });
    }

    pub(crate) fn brought_token(&self, next_refresh: Duration) {
        trace(|| {
            self.span.record("outcome", "token");
            self.span.record("next_refresh_ms", millis(next_refresh));
            tracing::info!(parent: &self.span, next_refresh_ms = millis(next_refresh), "token obtained");
        });
    }

    pub(crate) fn failed(&self, error: &AuthError, backoff: Duration) {
        trace(|| {
            self.span.record("outcome", tracing::field::debug(error.kind()));
            tracing::warn!(
                parent: &self.span,
                kind = ?error.kind(),
                %error,
                description = error.oauth_error_description(),
                backoff_ms = millis(backoff),
                "no token"
            );
        });
    }
}

#[cfg(feature = "tracing")]
impl Clone for FetchSpan {
    fn clone(&self) -> Self {
        Self { span: trace(|| self.span.clone()).unwrap_or_else(tracing::Span::none) }
    }
}

/// The end of a span may be told too.
#[cfg(feature = "tracing")]
impl Drop for FetchSpan {
    fn drop(&mut self) {
        let span = std::mem::replace(&mut self.span, tracing::Span::none());
        if std::thread::panicking() {
            std::mem::forget(span);
        } else {
            trace(|| drop(span));
        }
    }
}

#[cfg(not(feature = "tracing"))]
#[expect(clippy::unused_self, reason = "the same methods as with the feature")]
impl FetchSpan {
    pub(crate) fn new(_layer: &'static str, _trigger: &'static str) -> Self {
        Self {}
    }

    fn enter(&self) {}
    fn exit(&self) {}
    pub(crate) fn attempt(&self, _attempt: u32) {}
    pub(crate) fn will_try_again(&self, _error: &AuthError, _pause: Duration) {}
    pub(crate) fn brought_token(&self, _next_refresh: Duration) {}
    pub(crate) fn failed(&self, _error: &AuthError, _backoff: Duration) {}
}

#[cfg(not(feature = "tracing"))]
impl Clone for FetchSpan {
    fn clone(&self) -> Self {
        Self {}
    }
}

/// Runs the subscriber, which is foreign code, unless this thread panics. If it panics itself, that ends here.
#[cfg(feature = "tracing")]
fn trace<T>(write: impl FnOnce() -> T) -> Option<T> {
    if std::thread::panicking() {
        return None;
    }
    catch_unwind(AssertUnwindSafe(write)).ok()
}

#[cfg(feature = "tracing")]
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

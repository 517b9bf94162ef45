//! The only module that names spans and events.
//!
//! The guide's table of them, under "Traces", is compared with what is emitted: a test fails if a name, a field or a level
//! differs. Words that metrics have too come from `labels`. Fields that OpenTelemetry's conventions define have their names.
//!
//! A fetch is DEBUG, since most happen as planned; a failed one is WARN once per backoff, since that is how often anything
//! changes. A rejection is INFO, unless a warning has just told why there are many.
//!
//! No header, no body and no secret gets here. A request with a usable token makes no event. While a thread panics nothing
//! is traced. A panic of a subscriber ends here, such as that of `eprintln!` when stderr is closed.

mod events;
mod told_origins;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
#[cfg(feature = "tracing")]
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use pin_project_lite::pin_project;

#[cfg(feature = "reqwest")]
pub(crate) use self::events::answered_by_another_origin;
pub(crate) use self::{
    events::{
        discovery_failed, lifetime_unusable, not_kept_warm, not_published, rejected, secret_file_unusable, shared,
        store_failed, throttled,
    },
    told_origins::ToldOrigins,
};
use crate::error::AuthError;
#[cfg(feature = "tracing")]
use crate::labels;

/// The span of one token fetch.
#[derive(Debug)]
pub(crate) struct FetchSpan {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
    /// Recorded once, at the end: OpenTelemetry would keep every value.
    #[cfg(feature = "tracing")]
    attempts: AtomicU32,
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
    /// A root, since a fetch outlives the request that started it and serves others. It follows from the span of that
    /// request alone: those that join it may be thousands, and have not caused it.
    pub(crate) fn new(layer: &'static str, trigger: &'static str) -> Self {
        let empty = tracing::field::Empty;
        let span = trace(|| {
            tracing::debug_span!(
                parent: None,
                "token_fetch",
                layer,
                trigger,
                attempt = empty,
                outcome = empty,
                "error.type" = empty,
                next_refresh_ms = empty,
                fleet = empty,
                fleet_reason = empty
            )
        });
        let span = span.unwrap_or_else(tracing::Span::none);
        trace(|| _ = span.follows_from(tracing::Span::current()));
        Self { span, attempts: AtomicU32::new(0) }
    }

    fn enter(&self) {
        trace(|| self.span.with_subscriber(|(id, subscriber)| subscriber.enter(id)));
    }

    fn exit(&self) {
        trace(|| self.span.with_subscriber(|(id, subscriber)| subscriber.exit(id)));
    }

    pub(crate) fn attempt(&self, attempt: u32) {
        self.attempts.store(attempt, Relaxed);
    }

    pub(crate) fn will_try_again(&self, error: &AuthError, pause: Duration) {
        trace(|| {
            tracing::debug!(
                parent: &self.span,
                {
                    attempt = i64::from(self.attempts.load(Relaxed)),
                    "error.type" = error.kind().name(),
                    %error,
                    pause_ms = millis(pause),
                },
                "token request failed, will try again"
            );
        });
    }

    pub(crate) fn brought_token(&self, next_refresh: Duration) {
        trace(|| {
            self.ended(labels::outcome(None));
            self.span.record("next_refresh_ms", millis(next_refresh));
            tracing::debug!(parent: &self.span, next_refresh_ms = millis(next_refresh), "token obtained");
        });
    }

    fn ended(&self, outcome: &'static str) {
        self.span.record("attempt", i64::from(self.attempts.load(Relaxed)));
        self.span.record("outcome", outcome);
    }

    /// Without a backoff nothing is wrong with the server: a runtime has ended, or has no timers.
    pub(crate) fn failed(
        &self,
        layer: &'static str,
        trigger: &'static str,
        error: &AuthError,
        backoff: Option<Duration>,
    ) {
        trace(|| {
            let kind = error.kind().name();
            self.ended(labels::outcome(Some(error.kind())));
            self.span.record("error.type", kind);
            let Some(backoff) = backoff else {
                tracing::debug!(parent: &self.span, { "error.type" = kind, %error }, "token fetch aborted");
                return;
            };
            // With layer and trigger, as there may be no span at this level.
            tracing::warn!(
                parent: &self.span,
                {
                    layer,
                    trigger,
                    "error.type" = kind,
                    %error,
                    description = error.oauth_error_description(),
                    backoff_ms = millis(backoff),
                },
                "token fetch failed"
            );
        });
    }
}

#[cfg(feature = "tracing")]
impl Clone for FetchSpan {
    fn clone(&self) -> Self {
        let span = trace(|| self.span.clone()).unwrap_or_else(tracing::Span::none);
        Self { span, attempts: AtomicU32::new(self.attempts.load(Relaxed)) }
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
    pub(crate) fn failed(&self, _layer: &str, _trigger: &str, _error: &AuthError, _backoff: Option<Duration>) {}
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

/// Signed, since OpenTelemetry has no other integers.
#[cfg(feature = "tracing")]
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

//! Events beside the span of a fetch.

use std::{fmt, time::Duration};

#[cfg(feature = "tracing")]
use super::{millis, trace};
use crate::{error::AuthError, labels::Action, rejection::Rejection};
#[cfg(feature = "tracing")]
use crate::{labels, rejection::NotReplayed};

/// The lifetime in a token response is no positive number; the default takes its place.
pub(crate) fn lifetime_unusable() {
    #[cfg(feature = "tracing")]
    trace(|| {
        tracing::debug!("token lifetime unusable, default assumed");
    });
}

/// A response rejected the credentials of its request, and this became of it.
///
/// While no token can be had, every request may be rejected: a warning has told that once, and this is at DEBUG.
pub(crate) fn rejected(layer: &'static str, rejection: Rejection, action: Action, status: http::StatusCode) {
    #[cfg(feature = "tracing")]
    trace(|| {
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    layer,
                    kind = labels::rejection(rejection),
                    action = action.label(),
                    http.response.status_code = i64::from(status.as_u16()),
                    "response rejected"
                );
            };
        }
        if let Action::NotReplayed(NotReplayed::Throttled | NotReplayed::FetchFailed) = action {
            tell!(debug);
        } else {
            tell!(info);
        }
    });
    #[cfg(not(feature = "tracing"))]
    let _ = (layer, rejection, action, status);
}

/// The renewal budget is used up.
pub(crate) fn throttled(layer: &'static str) {
    #[cfg(feature = "tracing")]
    trace(|| {
        tracing::warn!(
            layer,
            "tokens are rejected as fast as they are renewed: the API may reject this client, or the server may keep one \
             token per client and another process renews it (see module `fleet`)"
        );
    });
    #[cfg(not(feature = "tracing"))]
    let _ = layer;
}

/// A file that holds the client secret cannot be read, or what it holds cannot be sent.
pub(crate) fn secret_file_unusable(error: &dyn fmt::Display) {
    #[cfg(feature = "tracing")]
    trace(|| tracing::warn!(%error, "client secret file cannot be used, the last secret stays in use"));
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// The discovery document was to be read again.
pub(crate) fn discovery_failed(error: &AuthError) {
    #[cfg(feature = "tracing")]
    trace(|| {
        tracing::warn!(
            { "error.type" = error.kind().name(), %error },
            "discovery document cannot be read, the last one stays in use"
        );
    });
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// reqwest has followed a redirect to another origin, with credentials that it does not remove.
#[cfg(feature = "reqwest")]
pub(crate) fn answered_by_another_origin(origin: &str) {
    #[cfg(feature = "tracing")]
    trace(|| {
        tracing::warn!(
            origin,
            "a signed request was answered by another origin, which got its signature or static headers: give reqwest's client \
             `redirect_policy()`"
        );
    });
    #[cfg(not(feature = "tracing"))]
    let _ = origin;
}

/// `keep_warm` was called where no task or no timer can run.
pub(crate) fn not_kept_warm(place: &'static str) {
    #[cfg(feature = "tracing")]
    trace(|| {
        tracing::warn!("keep_warm() {place} does nothing");
    });
    #[cfg(not(feature = "tracing"))]
    let _ = place;
}

/// What came of a look into the token store: `hit`, `led`, `followed`, `degraded` once for each fetch; or `retired`.
pub(crate) fn shared(event: &'static str, reason: Option<&'static str>) {
    #[cfg(feature = "tracing")]
    trace(|| {
        if event != "retired" {
            let span = tracing::Span::current();
            span.record("fleet", event);
            span.record("fleet_reason", reason);
        }
        tracing::debug!(event, reason, "shared token");
    });
    #[cfg(not(feature = "tracing"))]
    let _ = (event, reason);
}

/// A token was fetched for all processes, and only this one has it.
pub(crate) fn not_published(reason: &'static str) {
    #[cfg(feature = "tracing")]
    trace(|| {
        tracing::Span::current().record("fleet_reason", reason);
        tracing::debug!(reason, "token not published");
    });
    #[cfg(not(feature = "tracing"))]
    let _ = reason;
}

/// A use of the token store failed, and the store is left alone for a while.
pub(crate) fn store_failed(
    reason: impl fmt::Display,
    error: Option<&(dyn std::error::Error + Send + Sync + 'static)>,
    pause: Duration,
) {
    #[cfg(feature = "tracing")]
    trace(|| {
        let error = error.map(tracing::field::display);
        tracing::warn!(%reason, error, pause_ms = millis(pause), "token store failed: this process fetches for itself");
    });
    #[cfg(not(feature = "tracing"))]
    let _ = (reason, error, pause);
}

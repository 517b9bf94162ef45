//! What logs and metrics are told of a token fetch that has ended.

use std::time::{Duration, SystemTime};

use crate::{
    error::AuthError,
    metrics,
    telemetry::FetchSpan,
    time::Moment,
    token::{RefreshPolicy, cache::End},
};

/// Made before the state changes, and told after it: a log may block.
pub(super) struct Report {
    /// The time until the next refresh, and when the token ends; or the error and its backoff, if it has one.
    outcome: Result<(Duration, Option<SystemTime>), (AuthError, Option<Duration>)>,
}

impl Report {
    pub(super) fn of(end: &End, policy: &RefreshPolicy) -> Self {
        let outcome = match end {
            End::Token { token, life, .. } => {
                let next_refresh = life.stale_after.saturating_sub(Moment::now().since(token.created()));
                Ok((next_refresh, token.created().wall.checked_add(policy.lifetime(token.lifetime()))))
            }
            End::Failed { error, backoff } => Err((error.clone(), Some(*backoff))),
            End::Aborted(error) => Err((error.clone(), None)),
        };
        Self { outcome }
    }

    pub(super) fn tell(&self, span: &FetchSpan, layer: &'static str, trigger: &'static str, took: Duration) {
        match &self.outcome {
            Ok((next_refresh, ends_at)) => {
                metrics::fetched(trigger, None, took);
                if let Some(ends_at) = ends_at.filter(|_| layer != UNNAMED) {
                    metrics::token_expires(layer, ends_at);
                }
                span.brought_token(*next_refresh);
            }
            Err((error, backoff)) => {
                metrics::fetched(trigger, Some(error.kind()), took);
                span.failed(layer, trigger, error, *backoff);
            }
        }
    }
}

/// The name of a layer that was given none.
pub(crate) const UNNAMED: &str = "default";

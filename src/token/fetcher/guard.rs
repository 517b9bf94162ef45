//! Ends a fetch, and tells of it.

use std::{sync::Arc, time::Duration};

use super::{Fetcher, UNNAMED};
use crate::{
    error::{AuthError, ErrorKind},
    metrics,
    telemetry::FetchSpan,
    time::{self, Instant, Moment},
    token::{cache::End, source, waiters::Flight},
};

/// Ends its fetch whatever happens: with a result, or when it is dropped by the end of its runtime.
pub(super) struct FetchGuard {
    fetcher: Arc<Fetcher>,
    flight: Arc<Flight>,
    span: FetchSpan,
    begun: Instant,
    is_complete: bool,
}

impl FetchGuard {
    pub(super) fn new(fetcher: Arc<Fetcher>, flight: Arc<Flight>, span: FetchSpan) -> Self {
        Self { fetcher, flight, span, begun: time::instant(), is_complete: false }
    }

    pub(super) async fn run(mut self) {
        let fetcher = &self.fetcher;
        let mut failure = None;
        let limit = fetcher.policy.fetch_deadline();
        let fetch = source::caught(fetcher.fetch(&self.flight, &self.span, &mut failure));
        let end = match time::within(limit, fetch).await {
            Ok(Some(Ok(token))) => fetcher.end_with(token),
            Ok(Some(Err(error))) => fetcher.end_with_failure(error),
            Err(no_timers) => End::Aborted(no_timers),
            Ok(None) => fetcher.end_with_failure(timed_out(failure)),
        };
        self.complete(end);
    }

    /// Changes the state first, and then tells of it: a log may block.
    pub(super) fn complete(&mut self, end: End) {
        self.is_complete = true;
        let told = match &end {
            End::Token { token, life, .. } => {
                let next_refresh = life.stale_after.saturating_sub(Moment::now().since(token.created()));
                let lifetime = self.fetcher.policy.lifetime(token.lifetime());
                Ok((next_refresh, token.created().wall.checked_add(lifetime)))
            }
            End::Failed { error, backoff } => Err((error.clone(), *backoff)),
            End::Aborted(error) => Err((error.clone(), Duration::ZERO)),
        };
        self.fetcher.finish(&self.flight, end);
        match told {
            Ok((next_refresh, ends_at)) => {
                self.tell_metrics(None);
                if let Some(ends_at) = ends_at.filter(|_| self.fetcher.name != UNNAMED) {
                    metrics::token_expires(self.fetcher.name, ends_at);
                }
                self.span.brought_token(next_refresh);
            }
            Err((error, backoff)) => {
                self.tell_metrics(Some(error.kind()));
                self.span.failed(&error, backoff);
            }
        }
    }

    fn tell_metrics(&self, failure: Option<ErrorKind>) {
        let took = time::instant().saturating_duration_since(self.begun);
        metrics::fetched(self.flight.trigger.name(), failure, took);
    }
}

impl Drop for FetchGuard {
    fn drop(&mut self) {
        if !self.is_complete {
            let why = "the runtime that fetched the token has ended; try again";
            self.complete(End::Aborted(AuthError::new(ErrorKind::Aborted, why)));
        }
    }
}

fn timed_out(failure: Option<AuthError>) -> AuthError {
    let error = AuthError::new(ErrorKind::Timeout, "fetching a token timed out (RefreshPolicy::deadline)");
    match failure {
        Some(failure) => error.with_source(failure),
        None => error,
    }
}

// A retry policy for Tower's `Retry`. Copy it into your application and adapt it.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use tower::{
    BoxError,
    retry::{
        Policy,
        backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff},
        budget::{Budget, TpsBudget},
    },
};
use tower_outbound_auth::AuthError;

/// Retries one call a few times, as long as the budget that all calls share allows.
#[derive(Clone, Debug)]
pub(crate) struct Patient {
    tries_left: u32,
    budget: Arc<TpsBudget>,
    backoff: Option<ExponentialBackoff>,
}

impl Patient {
    /// A policy for a whole client. Its clones share the budget; each call has its own number of tries.
    pub(crate) fn new(tries: u32, budget: TpsBudget) -> Self {
        Self { tries_left: tries, budget: Arc::new(budget), backoff: None }
    }
}

impl<B: Clone, RB> Policy<Request<B>, Response<RB>, BoxError> for Patient {
    type Future = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn retry(&mut self, _: &mut Request<B>, result: &mut Result<Response<RB>, BoxError>) -> Option<Self::Future> {
        let pause = match result {
            Ok(response) => pause_after(response),
            Err(error) => pause_for(error),
        };
        let Some(pause) = pause.filter(|pause| *pause <= LONGEST) else {
            self.budget.deposit();
            return None;
        };
        self.tries_left = self.tries_left.checked_sub(1)?;
        if !self.budget.withdraw() {
            return None;
        }
        // Made for each call: clones of one backoff would all draw the same jitter.
        let backoff = self.backoff.get_or_insert_with(|| ExponentialBackoffMaker::default().make_backoff());
        let (pause, backoff) = (tokio::time::sleep(pause), backoff.next_backoff());
        Some(Box::pin(async {
            tokio::join!(pause, backoff);
        }))
    }

    /// Retries idempotent methods only (RFC 9110, section 9.2.2). A `POST` that was answered 503 may have been carried out.
    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        request.method().is_idempotent().then(|| request.clone())
    }
}

/// How long to wait before another try: `Retry-After` in seconds, if the API sent it; `None` if another try would not help.
/// A 401 is not retried: the layer has already renewed the token and replayed the request.
fn pause_after<B>(response: &Response<B>) -> Option<Duration> {
    let asked = || response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok();
    matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
    )
    .then(|| Duration::from_secs(asked().unwrap_or_default()))
}

/// A wrong secret stays wrong, so a permanent error is not retried. A transient one is retried after `retry_after()`; until
/// then the layer would return it again. Any other error is one of the connection.
fn pause_for(error: &BoxError) -> Option<Duration> {
    match AuthError::find(error.as_ref()) {
        Some(error) if !error.is_transient() => None,
        Some(error) => Some(error.retry_after().unwrap_or_default()),
        None => Some(Duration::ZERO),
    }
}

/// A call that would have to wait for longer returns its last result instead.
const LONGEST: Duration = Duration::from_secs(60);

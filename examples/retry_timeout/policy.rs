// When to send a request again, and when not to: to be copied into an application, and changed there.

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

/// So many more tries for one call, while the budget that all calls share lasts.
#[derive(Clone, Debug)]
pub(crate) struct Patient {
    tries_left: u32,
    budget: Arc<TpsBudget>,
    backoff: Option<ExponentialBackoff>,
}

impl Patient {
    /// For a whole client: its clones share the budget, and each call has tries of its own.
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
        // Made for each call: the clones of one would all draw the same jitter.
        let backoff = self.backoff.get_or_insert_with(|| ExponentialBackoffMaker::default().make_backoff());
        let (pause, backoff) = (tokio::time::sleep(pause), backoff.next_backoff());
        Some(Box::pin(async {
            tokio::join!(pause, backoff);
        }))
    }

    /// Only what may be carried out twice (RFC 9110, section 9.2.2): a `POST` that was answered 503 may have been.
    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        request.method().is_idempotent().then(|| request.clone())
    }
}

/// How long the API wants to be left alone, if it says so in seconds; `None` if another try would not help. Not after a 401:
/// the layer has renewed the token, and sent the request again, already.
fn pause_after<B>(response: &Response<B>) -> Option<Duration> {
    let asked = || response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok();
    matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
    )
    .then(|| Duration::from_secs(asked().unwrap_or_default()))
}

/// A wrong secret stays wrong. Other trouble with the token passes, and until `retry_after()` the layer would give the
/// same error again. An error that is none of the layer's is the connection's.
fn pause_for(error: &BoxError) -> Option<Duration> {
    match AuthError::find(error.as_ref()) {
        Some(error) if !error.is_transient() => None,
        Some(error) => Some(error.retry_after().unwrap_or_default()),
        None => Some(Duration::ZERO),
    }
}

/// Whoever would have to wait for longer gets the error instead.
const LONGEST: Duration = Duration::from_secs(60);

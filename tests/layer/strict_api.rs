//! An API that counts the calls of an instance that was not ready, and a retry policy to put around it.

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tokio::time::sleep;
use tower::Service;
use tower_outbound_auth::BoxError;

use crate::support::{Answering, Body, Issuer, Seen, answer};

/// An API that takes the tokens of its issuer, and counts every call of an instance that was not ready.
pub(crate) struct Strict {
    pub(crate) issuer: Issuer,
    pub(crate) shared: Arc<Shared>,
    /// Whether a new instance says `Pending` first.
    pub(crate) hesitates: bool,
    pub(crate) readiness: Readiness,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) seen: Seen,
    pub(crate) violations: AtomicUsize,
    /// So many of the next requests are answered with 503.
    pub(crate) unavailable: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    Unasked,
    Hesitating,
    Ready,
}

impl Strict {
    pub(crate) fn new(issuer: &Issuer, hesitates: bool) -> Self {
        Self { issuer: issuer.clone(), shared: Arc::default(), hesitates, readiness: Readiness::Unasked }
    }
}

/// A clone has to be made ready by itself.
impl Clone for Strict {
    fn clone(&self) -> Self {
        let (issuer, shared) = (self.issuer.clone(), Arc::clone(&self.shared));
        Self { issuer, shared, hesitates: self.hesitates, readiness: Readiness::Unasked }
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.hesitates && self.readiness == Readiness::Unasked {
            self.readiness = Readiness::Hesitating;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.readiness = Readiness::Ready;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        if self.readiness != Readiness::Ready {
            self.shared.violations.fetch_add(1, SeqCst);
        }
        self.readiness = Readiness::Unasked;
        self.shared.seen.push(&request);
        let unavailable = self.shared.unavailable.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        let issuer = self.issuer.clone();
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            let known = issuer.knows(request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap());
            Ok(answer(match (unavailable, known) {
                (true, _) => StatusCode::SERVICE_UNAVAILABLE,
                (false, true) => StatusCode::OK,
                (false, false) => StatusCode::UNAUTHORIZED,
            }))
        })
    }
}

/// Retries up to three times if the API is unavailable.
#[derive(Clone)]
pub(crate) struct Again(pub(crate) usize);

impl tower::retry::Policy<Request<Body>, Response<Body>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _request: &mut Request<Body>,
        result: &mut Result<Response<Body>, BoxError>,
    ) -> Option<Ready<()>> {
        let again = result.as_ref().is_ok_and(|response| response.status() == StatusCode::SERVICE_UNAVAILABLE);
        self.0 = self.0.checked_sub(1)?;
        again.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

//! APIs that answer as a test says, and one that refuses everything.

use std::future::Future;

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Service, service_fn};
use tower_outbound_auth::{BoxError, rejection::NotReplayed};

use crate::support::{Body, Seen};

/// An API that answers as the function says: the first argument counts its requests from 1.
pub(crate) fn answering<F, A>(
    answer: F,
) -> (Seen, impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone)
where
    F: Fn(usize, Request<Body>) -> A + Clone,
    A: Future<Output = Response<Body>> + Send,
{
    let seen = Seen::default();
    let log = seen.clone();
    let service = service_fn(move |request: Request<Body>| {
        log.push(&request);
        let answered = answer(log.count(), request);
        async { Ok::<_, BoxError>(answered.await) }
    });
    (seen, service)
}

/// An API that refuses everything in its own words.
pub(crate) fn refusing()
-> (Seen, impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone) {
    answering(|_, _| async { refusal() })
}

pub(crate) fn refusal() -> Response<Body> {
    let mut response = Response::new(Full::from(REFUSAL));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert("x-request-id", HeaderValue::from_static("77"));
    response
}

/// The response is the API's own, with nothing missing and this mark.
pub(crate) async fn assert_whole(response: Response<Body>, mark: NotReplayed) {
    assert_eq!(response.extensions().get(), Some(&mark));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers().get("x-request-id").unwrap(), "77");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), REFUSAL);
}

pub(crate) const REFUSAL: &str = "this token is not to our liking";

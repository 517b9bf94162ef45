//! One request and its answer: counts it, looks for leaks, applies the fault that is due, and dates the answer.

use std::{
    convert::Infallible,
    future::{self, Future},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::{Body, HttpBody, to_bytes},
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use serde_json::json;
use tower_service::Service;

use super::{
    api,
    connection::Line,
    cut_off::cut_off,
    download,
    fault::{FaultKind, Side},
    leak,
    state::{self, Shared},
    token,
};
use crate::{error::BoxError, time};

/// A server as one connection sees it.
#[derive(Clone)]
pub(super) struct Exchange {
    place: Place,
    router: Router,
    shared: Arc<Shared>,
    line: Arc<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Token endpoint and API.
    Api,
    Downloads,
}

impl Exchange {
    pub(super) fn new(place: Place, shared: &Arc<Shared>) -> Self {
        let router = match place {
            Place::Api => token::router().merge(api::router()),
            Place::Downloads => download::router(),
        };
        let router = router
            .fallback(async || message(StatusCode::NOT_FOUND, "no such path"))
            .method_not_allowed_fallback(async || message(StatusCode::METHOD_NOT_ALLOWED, "no such method here"))
            .with_state(Arc::clone(shared));
        Self { place, router, shared: Arc::clone(shared), line: Arc::default() }
    }

    /// The same server for another connection.
    pub(super) fn on(self, line: Arc<Line>) -> Self {
        Self { line, ..self }
    }

    pub(super) fn count_connection(&self) {
        self.shared.counters.connections.add_one();
    }

    async fn answer(mut self, request: Request<Body>) -> Response {
        if leak::found(self.place, &self.shared, &request) {
            self.shared.counters.credentials_leaked.add_one();
        }
        let side = self.side(&request);
        match side {
            Some(Side::Token) => self.shared.counters.token_requests.add_one(),
            Some(Side::Api) => self.shared.counters.api_requests.add_one(),
            None => {}
        }
        let trouble = side.and_then(|side| self.shared.faults.take(side));

        // All of it, even if the answer does not depend on it: data left unread would turn the end of a connection into a
        // reset, and the answer could be lost.
        let (head, body) = request.into_parts();
        let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
            return self.dated(message(StatusCode::PAYLOAD_TOO_LARGE, "the body is broken, or longer than 1 MiB"), 0);
        };
        let request = Request::from_parts(head, Body::from(body));
        self.answer_in(trouble, request).await
    }

    async fn answer_in(&mut self, trouble: Option<FaultKind>, request: Request<Body>) -> Response {
        let mut date_off_by = 0;
        let response = match trouble {
            None => self.right_answer(request).await,
            Some(FaultKind::Status(status)) => message(status, "this fault was injected"),
            Some(FaultKind::RetryAfter(status, wait)) => {
                let retry_after = [(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)))];
                (retry_after, message(status, "this fault was injected")).into_response()
            }
            Some(FaultKind::Latency(delay)) => {
                let response = self.right_answer(request).await;
                if let Some(delay) = time::sleep(delay) {
                    delay.await;
                }
                response
            }
            Some(FaultKind::Reset) => {
                self.line.reset();
                future::pending().await
            }
            Some(FaultKind::Malformed) => {
                Html("<!doctype html><title>Sign in</title><p>Please sign in.").into_response()
            }
            Some(FaultKind::CutOff) => {
                let response = self.right_answer(request).await;
                cut_off(response, &self.line).await
            }
            Some(FaultKind::WrongClock(seconds)) => {
                date_off_by = seconds;
                self.right_answer(request).await
            }
        };
        self.dated(response, date_off_by)
    }

    async fn right_answer(&mut self, request: Request<Body>) -> Response {
        self.router.call(request).await.into_response()
    }

    fn dated(&self, mut response: Response, off_by: i64) -> Response {
        let now = match self.place {
            Place::Api => self.shared.clock.unix_seconds(),
            Place::Downloads => state::unix_seconds(),
        };
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(state::shift(now, off_by)));
        if let Ok(date) = HeaderValue::try_from(date) {
            response.headers_mut().insert(DATE, date);
        }
        response
    }

    fn side(&self, request: &Request<Body>) -> Option<Side> {
        let path = request.uri().path();
        match self.place {
            Place::Downloads => None,
            Place::Api if path == token::PATH => (request.method() == Method::POST).then_some(Side::Token),
            Place::Api => (path.starts_with("/v1/") || path.starts_with("/v2/")).then_some(Side::Api),
        }
    }
}

impl<B> Service<Request<B>> for Exchange
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let exchange = self.clone();
        Box::pin(async move { Ok(exchange.answer(request.map(Body::new)).await) })
    }
}

/// A JSON answer that consists of a message, as the API's rejections do.
pub(super) fn message(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "message": text }))).into_response()
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

const LONGEST_BODY: usize = 1 << 20;

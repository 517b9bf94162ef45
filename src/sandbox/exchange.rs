//! One request and its response: counters, leaks, faults and `Date`.

use std::{
    convert::Infallible,
    future::{self, Future},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, HttpBody, to_bytes},
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use tower_service::Service;

use super::{
    api,
    connection::ConnectionControl,
    custom_api,
    cut_off::cut_off,
    download,
    fault::{FaultKind, Target},
    leak,
    message::message,
    state::{self, Listener, ServerState},
    token,
};
use crate::{error::BoxError, time};

/// The service that handles the requests of one connection.
#[derive(Clone)]
pub(super) struct Exchange {
    listener: Listener,
    router: Router,
    shared: Arc<ServerState>,
    control: Arc<ConnectionControl>,
}

impl Exchange {
    pub(super) fn new(listener: Listener, shared: &Arc<ServerState>) -> Self {
        let router = match listener {
            Listener::Api => token::router().merge(match shared.custom_api.clone() {
                Some(custom) => custom_api::router(custom),
                None => api::router().fallback(no_such_path),
            }),
            Listener::Downloads => download::router().fallback(no_such_path),
        };
        let router = router
            .method_not_allowed_fallback(async || message(StatusCode::METHOD_NOT_ALLOWED, "no such method here"))
            .with_state(Arc::clone(shared));
        Self { listener, router, shared: Arc::clone(shared), control: Arc::default() }
    }

    /// The same service for another connection.
    pub(super) fn on(self, control: Arc<ConnectionControl>) -> Self {
        Self { control, ..self }
    }

    pub(super) fn count_connection(&self) {
        self.shared.counters.connections.add_one();
    }

    async fn respond(mut self, request: Request<Body>) -> Response {
        if leak::found(self.listener, &self.shared, &request) {
            self.shared.counters.credentials_leaked.add_one();
        }
        let target = self.target(&request);
        match target {
            Some(Target::Token) => self.shared.counters.token_requests.add_one(),
            Some(Target::Api) => self.shared.counters.api_requests.add_one(),
            None => {}
        }
        let fault = target.and_then(|target| self.shared.faults.take(target));

        // Read even if it is not needed: closing a connection with unread data resets it, and the response could be lost.
        let (head, body) = request.into_parts();
        let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
            return self
                .with_date(message(StatusCode::PAYLOAD_TOO_LARGE, "the body is broken, or longer than 1 MiB"), 0);
        };
        let request = Request::from_parts(head, Body::from(body));
        self.respond_with(fault, request).await
    }

    async fn respond_with(&mut self, fault: Option<FaultKind>, request: Request<Body>) -> Response {
        let mut date_off_by = 0;
        let response = match fault {
            None => self.regular_response(request).await,
            Some(FaultKind::Status(status)) => message(status, "this fault was injected"),
            Some(FaultKind::RetryAfter(status, wait)) => {
                let retry_after = [(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)))];
                (retry_after, message(status, "this fault was injected")).into_response()
            }
            Some(FaultKind::Latency(delay)) => {
                let response = self.regular_response(request).await;
                if let Some(delay) = time::sleep(delay) {
                    delay.await;
                }
                response
            }
            Some(FaultKind::Reset) => {
                self.control.reset();
                future::pending().await
            }
            Some(FaultKind::Malformed) => {
                Html("<!doctype html><title>Sign in</title><p>Please sign in.").into_response()
            }
            Some(FaultKind::CutOff) => {
                let response = self.regular_response(request).await;
                cut_off(response, &self.control).await
            }
            Some(FaultKind::WrongClock(seconds)) => {
                date_off_by = seconds;
                self.regular_response(request).await
            }
        };
        self.with_date(response, date_off_by)
    }

    async fn regular_response(&mut self, request: Request<Body>) -> Response {
        self.router.call(request).await.into_response()
    }

    fn with_date(&self, mut response: Response, off_by: i64) -> Response {
        let now = match self.listener {
            Listener::Api => self.shared.clock.unix_seconds(),
            Listener::Downloads => state::unix_seconds(),
        };
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(state::shift(now, off_by)));
        if let Ok(date) = HeaderValue::try_from(date) {
            response.headers_mut().insert(DATE, date);
        }
        response
    }

    fn target(&self, request: &Request<Body>) -> Option<Target> {
        let path = request.uri().path();
        match self.listener {
            Listener::Downloads => None,
            Listener::Api if path == token::PATH => (request.method() == Method::POST).then_some(Target::Token),
            Listener::Api => {
                let is_api = self.shared.custom_api.is_some() || path.starts_with("/v1/") || path.starts_with("/v2/");
                is_api.then_some(Target::Api)
            }
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
        Box::pin(async move { Ok(exchange.respond(request.map(Body::new)).await) })
    }
}

async fn no_such_path() -> Response {
    message(StatusCode::NOT_FOUND, "no such path")
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

const MAX_BODY_BYTES: usize = 1 << 20;

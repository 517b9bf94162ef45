//! The API that all clients call, in process, and the trait of all clients.

use std::{
    future::{Ready, ready},
    hint::black_box,
    marker::PhantomData,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use http_body_util::Empty;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};
use tower_outbound_auth::BoxError;

use crate::world::{World, is_alive};

pub(crate) type Body = Empty<Bytes>;

/// Client that authenticates its requests, whatever its type.
pub(crate) trait Client:
    Service<Request<Body>, Response = Response<Body>, Error: Into<BoxError>, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
    fn boxed(self) -> Boxed {
        BoxCloneSyncService::new(self.map_err(Into::into))
    }
}

impl<S> Client for S where
    S: Service<Request<Body>, Response = Response<Body>, Error: Into<BoxError>, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

pub(crate) type Boxed = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;

/// API that responds at once; a strict one rejects an expired token with 401. `E` is the error that its layer requires.
pub(crate) struct Api<E = BoxError> {
    strict: bool,
    error: PhantomData<fn() -> E>,
}

impl<E> Api<E> {
    pub(crate) fn of(world: &World) -> Self {
        Self { strict: world.strict, error: PhantomData }
    }

    /// Accepts all requests.
    pub(crate) fn lenient() -> Self {
        Self { strict: false, error: PhantomData }
    }
}

impl<E> Clone for Api<E> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<E> Service<Request<Body>> for Api<E> {
    type Response = Response<Body>;
    type Error = E;
    type Future = Ready<Result<Response<Body>, E>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut response = Response::new(Empty::new());
        if self.strict && !has_valid_token(&request) {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        black_box(request.headers().len());
        ready(Ok(response))
    }
}

fn has_valid_token(request: &Request<Body>) -> bool {
    let header = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    header.and_then(|header| header.strip_prefix("Bearer ")).is_some_and(is_alive)
}

/// Returns a request with eight headers.
pub(crate) fn request() -> Request<Body> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = http::Uri::from_static("https://api.example.com/v1/reports/types?day=1");
    for number in 0..8 {
        let name = HeaderName::try_from(format!("x-present-{number}")).unwrap_or(HeaderName::from_static("x-present"));
        request.headers_mut().insert(name, HeaderValue::from_static("some value of usual length"));
    }
    request
}

/// Builds the header of a token, as most peers do for each request.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, BoxError> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

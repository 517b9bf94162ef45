//! Stand-ins for the token source, the API and its callers.

use std::{
    convert::Infallible,
    future::ready,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::Empty;
use tower::Service;
use tower_http::auth::AddAuthorizationLayer;
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials,
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, TokenSource, source_fn},
};

pub(crate) type Body = Empty<Bytes>;

pub(crate) const ORIGIN: &str = "https://api.example.com";

/// Returns a source that has a token of this length at once.
pub(crate) fn instant_source(length: usize) -> impl TokenSource {
    source_fn(move |_| ready(access_token(length)))
}

pub(crate) fn access_token(length: usize) -> Result<AccessToken, AuthError> {
    AccessToken::new("t".repeat(length), Some(Duration::from_secs(3600)))
}

/// API that responds at once, with a boxed future like that of hyper-util's client.
#[derive(Clone, Copy)]
pub(crate) struct Api;

impl Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        black_box(request.headers().len());
        Box::pin(ready(Ok(Response::new(Body::new()))))
    }
}

/// Returns a layer that already has a token of this length.
pub(crate) fn bearer<R>(length: usize, replay: R) -> Result<AuthLayer<R>, BoxError> {
    warm(AuthLayer::builder(instant_source(length)).origin(ORIGIN).replay(replay).build()?)
}

/// Returns the same layer with a signature.
pub(crate) fn signed<R>(length: usize, replay: R) -> Result<AuthLayer<R>, BoxError> {
    let hmac = TimestampHmac::sha256(Credentials::new("my-client", "my-secret"));
    let builder = AuthLayer::builder(instant_source(length)).origin(ORIGIN).sign(SignRules::all(), hmac);
    warm(builder.replay(replay).build()?)
}

fn warm<R>(layer: AuthLayer<R>) -> Result<AuthLayer<R>, BoxError> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(layer.handle().token())?;
    Ok(layer)
}

/// Returns a layer that inserts one prebuilt header.
pub(crate) fn static_header(token: usize) -> AddAuthorizationLayer {
    AddAuthorizationLayer::bearer(&"t".repeat(token)).as_sensitive(true)
}

/// Returns a request with this many headers. Copies share its strings, so each thread creates its own.
pub(crate) fn request(headers: u32) -> Request<Body> {
    let mut request = Request::new(Body::new());
    *request.uri_mut() = Uri::from_static("https://api.example.com/v1/reports/types?day=1");
    for number in 0..headers {
        let name = HeaderName::try_from(format!("x-present-{number}")).unwrap_or(HeaderName::from_static("x-present"));
        request.headers_mut().insert(name, HeaderValue::from_static("some value of usual length"));
    }
    request
}

/// Copies a request header by header, as a client creates it, so that there is room for a few more.
pub(crate) fn fresh(like: &Request<Body>) -> Request<Body> {
    let mut request = Request::new(Body::new());
    *request.uri_mut() = like.uri().clone();
    *request.extensions_mut() = like.extensions().clone();
    request.headers_mut().reserve(like.headers().len() + 3);
    for (name, value) in like.headers() {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    request
}

/// Makes one call. `Api` responds at once.
pub(crate) fn call<S: Service<Request<Body>>>(service: &mut S, request: Request<Body>) {
    let mut response = pin!(service.call(request));
    if let Poll::Ready(response) = response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        drop(black_box(response));
    }
}

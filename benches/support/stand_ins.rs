//! What stands in for a token server, an API and its callers.

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
    AccessToken, AuthError, AuthLayer, BoxError, Credentials, FetchRequest, NoReplay, SignRules, TimestampHmac,
    TokenSource,
};

pub(crate) type Body = Empty<Bytes>;

pub(crate) const ORIGIN: &str = "https://api.example.com";

/// A token of this length, at hand.
pub(crate) struct AtHand(pub(crate) usize);

impl TokenSource for AtHand {
    fn fetch<'a>(
        &'a self,
        _request: FetchRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
        Box::pin(ready(AccessToken::new("t".repeat(self.0), Some(Duration::from_secs(3600)))))
    }
}

/// Answers at once, whatever it is asked, in a box as the futures of hyper-util's client are.
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

/// A layer that holds a token of this length already.
pub(crate) fn bearer(token: usize) -> Result<AuthLayer<NoReplay>, BoxError> {
    warm(AuthLayer::builder(AtHand(token)).origin(ORIGIN).build()?)
}

/// The same, which signs besides.
pub(crate) fn signing(token: usize) -> Result<AuthLayer<NoReplay>, BoxError> {
    let hmac = TimestampHmac::sha256(Credentials::new("id", "secret"));
    warm(AuthLayer::builder(AtHand(token)).origin(ORIGIN).sign(SignRules::all(), hmac).build()?)
}

fn warm(layer: AuthLayer) -> Result<AuthLayer<NoReplay>, BoxError> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(layer.handle().token())?;
    Ok(layer.replay(NoReplay))
}

/// What a layer costs that knows its header in advance.
pub(crate) fn fixed_header(token: usize) -> AddAuthorizationLayer {
    AddAuthorizationLayer::bearer(&"t".repeat(token)).as_sensitive(true)
}

/// A request that has this many headers already. A copy shares its texts with it, so each thread makes one of its own.
pub(crate) fn request(headers: u32) -> Request<Body> {
    let mut request = Request::new(Body::new());
    *request.uri_mut() = Uri::from_static("https://api.example.com/v1/reports/types?day=1");
    for number in 0..headers {
        let name = HeaderName::try_from(format!("x-present-{number}")).unwrap_or(HeaderName::from_static("x-present"));
        request.headers_mut().insert(name, HeaderValue::from_static("some value of usual length"));
    }
    request
}

/// A request like this one, made header by header as a client makes it, so that there is room for some more.
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

/// One call, to its end. `Api` lets nobody wait.
pub(crate) fn call<S: Service<Request<Body>>>(service: &mut S, request: Request<Body>) {
    let mut response = pin!(service.call(request));
    if let Poll::Ready(response) = response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        drop(black_box(response));
    }
}

//! What stands around the layer: a token source that is always at once done, and an API that notes what it gets.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    AccessToken, AuthError, AuthLayer, BoxError, FetchRequest, SignatureHeaders, Signer, SigningContext, TokenSource,
};

use crate::body::Scripted;

/// Gives out `token-1`, `token-2` and so on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(Arc<AtomicUsize>);

impl Tokens {
    /// How many were asked for.
    pub(crate) fn fetched(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl TokenSource for Tokens {
    fn fetch<'a>(
        &'a self,
        _request: FetchRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
        let number = self.0.fetch_add(1, Relaxed) + 1;
        Box::pin(ready(AccessToken::new(format!("token-{number}"), None)))
    }
}

/// Adds one header, so that it can be seen whether it was asked.
#[derive(Debug)]
pub(crate) struct Mark;

impl Signer for Mark {
    fn sign(&self, _context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        let mut headers = SignatureHeaders::new();
        headers.insert(MARK, HeaderValue::from_static("signed"));
        Ok(headers)
    }
}

pub(crate) const MARK: HeaderName = HeaderName::from_static("x-signature");

/// The requests that arrived at the API, without their bodies.
pub(crate) type Seen = Arc<Mutex<Vec<Request<()>>>>;

/// Sends a request through the layer; the API's `n`-th answer is `answer(n)`, counted from 0.
pub(crate) async fn send(
    layer: &AuthLayer,
    request: Request<()>,
    seen: &Seen,
    answer: impl Fn(usize) -> Response<Scripted> + Clone,
) -> Result<Response<Scripted>, BoxError> {
    let seen = Arc::clone(seen);
    let api = tower::service_fn(move |request: Request<()>| {
        let mut seen = seen.lock().expect("nobody panics with it");
        seen.push(request);
        ready(Ok::<_, Infallible>(answer(seen.len() - 1)))
    });
    layer.layer(api).ready().await?.call(request).await
}

pub(crate) fn answer(status: StatusCode) -> Response<Scripted> {
    let mut response = Response::new(Scripted::new([], http_body::SizeHint::with_exact(0)).0);
    *response.status_mut() = status;
    response
}

pub(crate) fn is_logged_in(request: &Request<()>) -> bool {
    request.headers().contains_key(AUTHORIZATION)
}

pub(crate) const ORIGIN: &str = "https://api.example.com";

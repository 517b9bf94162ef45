//! What surrounds the layer: a token source that responds at once, and an API that notes what it receives.

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
    AuthError, AuthLayer, BoxError,
    signing::{SignatureHeaders, Signer, SigningContext},
    token::{AccessToken, FetchRequest, TokenSource},
};

use crate::body::Scripted;

/// Issues `token-1`, `token-2` and so on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(Arc<AtomicUsize>);

impl Tokens {
    /// Returns how many were fetched.
    pub(crate) fn fetched(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl TokenSource for Tokens {
    fn fetch(&self, _: FetchRequest) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        let number = self.0.fetch_add(1, Relaxed) + 1;
        Box::pin(ready(AccessToken::new(format!("token-{number}"), None)))
    }
}

/// Signer that adds one header, which shows that it was called.
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

/// The requests that the API received, without their bodies.
pub(crate) type Seen = Arc<Mutex<Vec<Request<()>>>>;

/// Sends a request through the layer. The API's `n`-th response is `respond(n)`, counted from 0.
pub(crate) async fn send(
    layer: &AuthLayer,
    request: Request<()>,
    seen: &Seen,
    respond: impl Fn(usize) -> Response<Scripted> + Clone,
) -> Result<Response<Scripted>, BoxError> {
    let seen = Arc::clone(seen);
    let api = tower::service_fn(move |request: Request<()>| {
        let mut seen = seen.lock().expect("not poisoned");
        seen.push(request);
        ready(Ok::<_, Infallible>(respond(seen.len() - 1)))
    });
    layer.layer(api).ready().await?.call(request).await
}

pub(crate) fn response(status: StatusCode) -> Response<Scripted> {
    let mut response = Response::new(Scripted::new([], http_body::SizeHint::with_exact(0)).0);
    *response.status_mut() = status;
    response
}

pub(crate) fn has_token(request: &Request<()>) -> bool {
    request.headers().contains_key(AUTHORIZATION)
}

pub(crate) const ORIGIN: &str = "https://api.example.com";

//! `AuthMiddleware`: a layer around the rest of a chain of reqwest middlewares.

use std::{
    fmt,
    future::{Future, poll_fn},
    hash::Hash,
    pin::Pin,
    sync::Arc,
};

use ::reqwest::{Body, Request, Response};
use http::Extensions;
use reqwest_middleware::{Error, Middleware, Next};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::RequestBody,
    call::{Call, NextService},
};
#[cfg(feature = "paynet")]
use crate::paynet::PayNetLayer;
use crate::{
    error::{AuthError, BoxError, ErrorKind},
    keyed::KeyedAuthLayer,
    layer::AuthLayer,
    replay::Replay,
};

/// Middleware of `reqwest-middleware` that authenticates requests.
///
/// It is an [`AuthLayer`] around the rest of the chain, so all guarantees of the layer hold: one token fetch for any number
/// of callers, refreshes ahead of expiry, credentials for the configured origins only, one replay of a rejected request.
/// Clones share one token, also with services that are made from the layer. The [module](super) has an example.
///
/// # One request
///
/// - [`NoAuth`](crate::NoAuth), [`Sign`](crate::signing::Sign) and the key of a [`KeyedAuthLayer`] are set with
///   `RequestBuilder::with_extension`.
/// - `RequestBuilder::timeout` covers the wait for a token and the replay: each send gets what is left of it. If it passes
///   while the request waits for a token, the error is an [`AuthError`] of kind [`Timeout`](ErrorKind::Timeout); if it passes
///   during a send, it is reqwest's. `ClientBuilder::timeout` starts anew with each send: set
///   [`max_wait`](crate::AuthLayerBuilder::max_wait) beside it.
/// - [`RequestBody`] says which bodies can be replayed.
/// - [`NotReplayed`](crate::rejection::NotReplayed) is in `Response::extensions`.
///
/// # Errors
///
/// An error of reqwest, or of a middleware after this one, is returned unchanged, so `is_timeout()` and retry middlewares
/// work. An [`AuthError`] arrives as `Error::Middleware`; [`auth_error`](super::auth_error) finds it.
///
/// # Cancellation
///
/// Dropping the future drops the request. A token fetch under way goes on, for later requests.
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
///
/// use reqwest_middleware::ClientWithMiddleware;
/// use tower_outbound_auth::{BoxError, NoAuth, reqwest::auth_error};
///
/// # async fn calls(client: ClientWithMiddleware) -> Result<(), BoxError> {
/// let health = client.get("https://api.example.com/health").with_extension(NoAuth).send().await?;
/// let orders = client.get("https://api.example.com/orders").timeout(Duration::from_secs(5)).send().await;
/// if let Some(error) = orders.as_ref().err().and_then(auth_error) {
///     eprintln!("{:?}: {error}", error.kind());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuthMiddleware {
    layer: Arc<dyn ErasedLayer>,
}

impl<R: Replay<RequestBody>> From<AuthLayer<R>> for AuthMiddleware {
    fn from(layer: AuthLayer<R>) -> Self {
        Self { layer: Arc::new(layer) }
    }
}

#[cfg(feature = "paynet")]
#[diagnostic::do_not_recommend]
impl<R: Replay<RequestBody>> From<PayNetLayer<R>> for AuthMiddleware {
    fn from(layer: PayNetLayer<R>) -> Self {
        Self { layer: Arc::new(layer) }
    }
}

#[diagnostic::do_not_recommend]
impl<K, R> From<KeyedAuthLayer<K, R>> for AuthMiddleware
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    R: Replay<RequestBody>,
{
    fn from(layer: KeyedAuthLayer<K, R>) -> Self {
        Self { layer: Arc::new(layer) }
    }
}

#[async_trait::async_trait]
impl Middleware for AuthMiddleware {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response, Error> {
        let call = Call::new(&request);
        let mut request = RequestBody::wrap(request)?;
        request.extensions_mut().clone_from(extensions);
        let response = call.run(self.layer.send(request, NextService::new(next, &call))).await;
        if let Some(left) = call.take_extensions() {
            *extensions = left;
        }
        response.map(Response::from).map_err(into_middleware_error)
    }
}

impl fmt::Debug for AuthMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthMiddleware").field("layer", &self.layer).finish()
    }
}

/// A layer, whatever its policy is and its service makes of response bodies.
trait ErasedLayer: fmt::Debug + Send + Sync {
    fn send<'a>(&self, request: http::Request<RequestBody>, next: NextService<'a>) -> SendFuture<'a>;
}

type SendFuture<'a> = Pin<Box<dyn Future<Output = Result<http::Response<Body>, BoxError>> + Send + 'a>>;

impl<R: Replay<RequestBody>> ErasedLayer for AuthLayer<R> {
    fn send<'a>(&self, request: http::Request<RequestBody>, next: NextService<'a>) -> SendFuture<'a> {
        Box::pin(send(self.layer(next), request, |body| body))
    }
}

#[cfg(feature = "paynet")]
impl<R: Replay<RequestBody>> ErasedLayer for PayNetLayer<R> {
    fn send<'a>(&self, request: http::Request<RequestBody>, next: NextService<'a>) -> SendFuture<'a> {
        Box::pin(send(self.layer(next), request, Body::wrap))
    }
}

impl<K, R> ErasedLayer for KeyedAuthLayer<K, R>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    R: Replay<RequestBody>,
{
    fn send<'a>(&self, request: http::Request<RequestBody>, next: NextService<'a>) -> SendFuture<'a> {
        Box::pin(send(self.layer(next), request, |body| body))
    }
}

async fn send<S, B>(
    mut service: S,
    request: http::Request<RequestBody>,
    into_body: impl FnOnce(B) -> Body,
) -> Result<http::Response<Body>, BoxError>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>, Error = BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await?;
    Ok(service.call(request).await?.map(into_body))
}

fn into_middleware_error(error: BoxError) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(other) => match other.downcast::<AuthError>() {
            Ok(error) => *error,
            Err(other) => AuthError::new(ErrorKind::Unavailable, "the request could not be sent").with_source(other),
        },
    };
    match Error::middleware(error) {
        // An `AuthError` at the head of an `anyhow::Error` is not in the source chain of what is around it.
        Error::Middleware(error) => Error::Middleware(error.context("the request could not be authenticated")),
        error @ Error::Reqwest(_) => error,
    }
}

//! `Auth`: find the current token, authorize the request, call. Or wait until there is a token.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    error::{AuthError, BoxError},
    future::{Attempt, ResponseFuture, SavedRequest},
    origin::{Coverage, Target, near::OtherOrigin},
    replay::{CloneBody, Replay},
    settings::Settings,
    time::{self, Instant},
};

/// HTTP client service that authenticates its requests; made by an [`AuthLayer`](crate::AuthLayer).
///
/// `poll_ready` only asks the inner service. A request that waits for a token gives up the readiness of the inner service
/// and asks for it again when the token is there, so that waiting requests hold none of its permits.
///
/// # Errors
///
/// `poll_ready` returns the inner service's errors alone, and never one about the token: Tower takes an error of
/// `poll_ready` for the end of the service. The response future returns, as a [`BoxError`], the inner service's error or an
/// [`AuthError`](crate::AuthError):
///
/// - the error of the token fetch that the request waited for; during the backoff after a failed fetch, the same at once
/// - [`Timeout`](crate::ErrorKind::Timeout) after [`max_wait`](crate::AuthLayerBuilder::max_wait)
/// - [`Signing`](crate::ErrorKind::Signing) or another error of the signer
/// - [`Config`](crate::ErrorKind::Config) for a URI without a host, for a request that has the maximum number of headers,
///   and where a token is to be fetched or waited for outside of a tokio runtime, or in one without timers (`enable_time`)
///
/// # Example
///
/// The type of a stack, as a field has it:
///
/// ```
/// # #[cfg(feature = "client")] {
/// use tower::Layer;
/// use tower_outbound_auth::{Auth, AuthError, AuthLayer, client::HttpsClient};
///
/// struct Accounts {
///     http: Auth<HttpsClient>,
/// }
///
/// impl Accounts {
///     fn new(auth: &AuthLayer) -> Result<Self, AuthError> {
///         Ok(Self { http: auth.layer(HttpsClient::new()?) })
///     }
/// }
/// # }
/// ```
///
/// # Cancellation
///
/// See [`ResponseFuture`].
///
/// # Compiler messages
///
/// - "the method `oneshot` exists, but its trait bounds were not satisfied", or "no method named `call` found": the message
///   does not tell which bound. Write a function call instead, `ServiceExt::oneshot(client, request)` or
///   `Service::call(&mut client, request)`, to get one of the following.
/// - "`S: Clone` is not satisfied": a request that waits for a token is sent by a clone of the inner service. Derive `Clone`
///   for it, or share it by `ServiceBuilder::buffer`, called after this layer is added.
/// - "`E: std::error::Error` is not satisfied": the inner service's error has to become a [`BoxError`]. Implement `Error`
///   for it, or convert it by `ServiceBuilder::map_err`, called after this layer is added.
/// - "`CloneBody` cannot replay a request with the body `B`": the [guide](crate::guide::replay_policies) has a policy for each body.
/// - "`AuthLayer: Service<_>` is not satisfied": a layer wraps a service. Use `auth.layer(client)`, by
///   [`Layer`](tower_layer::Layer).
/// - "found an item that was configured out": add the feature that it names to this crate's, in `Cargo.toml`.
#[derive(Clone, Debug)]
pub struct Auth<S, R = CloneBody> /* which bound? see "Compiler messages" in the docs of `Auth` */ {
    inner: S,
    settings: Arc<Settings>,
    policy: R,
}

impl<S, R> Auth<S, R> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>, policy: R) -> Self {
        Self { inner, settings, policy }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, B, RB> Service<Request<B>> for Auth<S, R>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone, // if it is not: `.buffer(n)` over it
    S::Error: Into<BoxError>,                                // if it is not: `.map_err(f)` over it
    RB: Body,
    R: Replay<B>, // if it is not: another policy, by `AuthLayerBuilder::replay`
{
    type Response = Response<RB>;
    type Error = BoxError;
    type Future = ResponseFuture<S, R, B, RB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        send(&mut self.inner, &self.settings, &self.policy, request, time::instant)
    }
}

/// Sends the request by a service that is ready, now or once there is a token.
#[inline]
pub(crate) fn send<S, R, B, RB>(
    inner: &mut S,
    settings: &Arc<Settings>,
    policy: &R,
    mut request: Request<B>,
    now: impl FnOnce() -> Instant,
) -> ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    R: Replay<B>,
{
    let target = match settings.authorizer.covers(&request) {
        Coverage::Covered(target) => target,
        Coverage::Exempt => return ResponseFuture::passthrough(inner.call(request)),
        Coverage::NotCovered => match settings.authorizer.other_origin(&request) {
            None => return ResponseFuture::passthrough(inner.call(request)),
            Some(origins) => return pass(inner, settings, request, origins),
        },
        Coverage::Unknown => match settings.authorizer.scope.relative_target(&request) {
            Ok(Some(target)) => target,
            Ok(None) => return ResponseFuture::passthrough(inner.call(request)),
            Err(error) => return fail(inner, error),
        },
    };
    let now = settings.fetcher.cache.clock.now_at(now());
    let current = settings.fetcher.cache.current();
    let Some((token, age)) = current.as_deref().and_then(|token| Some((token, token.usable_age(now)?))) else {
        drop(current);
        if settings.authorizer.keeps_own(&request) {
            return ResponseFuture::passthrough(inner.call(request));
        }
        return wait(inner, settings, policy, request, target);
    };
    match Attempt::first(settings, inner, policy, &mut request, target, token, now) {
        Ok(attempt) => {
            if !matches!(attempt, Attempt::Passthrough) {
                settings.fetcher.refresh_if_due(token, age);
            }
            ResponseFuture::sending(inner.call(request), attempt)
        }
        Err(error) => fail(inner, error),
    }
}

/// Puts the request aside until there is a token.
#[cold]
fn wait<S, R, B, RB>(
    inner: &mut S,
    settings: &Arc<Settings>,
    policy: &R,
    request: Request<B>,
    target: Target,
) -> ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>> + Clone,
    R: Clone,
{
    release(inner);
    let saved = SavedRequest { service: inner.clone(), policy: policy.clone(), request, target, waited: 0 };
    ResponseFuture::waiting(Arc::clone(settings), saved)
}

/// Sends a request without credentials that was perhaps meant to have some.
#[cold]
fn pass<S, R, B, RB>(
    inner: &mut S,
    settings: &Settings,
    request: Request<B>,
    origins: OtherOrigin,
) -> ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>>,
{
    let response = inner.call(request);
    settings.told_origins.tell(settings.fetcher.name(), origins.requested(), origins.configured());
    ResponseFuture::sending(response, Attempt::OtherOrigin(Box::new(origins)))
}

/// Fails the request, which is not sent.
#[cold]
pub(crate) fn fail<S, R, B, RB>(inner: &mut S, error: AuthError) -> ResponseFuture<S, R, B, RB>
where
    S: Service<Request<B>> + Clone,
{
    release(inner);
    ResponseFuture::failed(error)
}

/// Puts a clone in the place of the instance that was made ready, which may hold a permit.
fn release<S: Clone>(inner: &mut S) {
    let clone = inner.clone();
    drop(mem::replace(inner, clone));
}

//! `Auth`: load the token, stamp the request, call. Or park it until there is a token.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    error::BoxError,
    future::{Parked, ResponseFuture, Sent, Ticket},
    origin::Admission,
    replay::{CloneBody, Replay},
    settings::Shared,
};

/// An HTTP client service that logs its requests in; made by an [`AuthLayer`](crate::AuthLayer).
///
/// `poll_ready` only asks the inner service. Trouble with the token is an error of the response future, never of
/// `poll_ready`, which would tell Tower to throw the whole service away.
///
/// # If rustc says
///
/// - "the method `oneshot` exists, but its trait bounds were not satisfied", or "no method named `call` found": it keeps
///   to itself which bound. Ask it by a function, as `ServiceExt::oneshot(client, request)` or
///   `Service::call(&mut client, request)`, and it will say one of these:
/// - "`S: Clone` is not satisfied": a request that waits for a token takes the service along that was made ready for it,
///   and leaves a clone. Derive `Clone` for it, or share it by `ServiceBuilder::buffer`, called after this layer is
///   added.
/// - "`E: std::error::Error` is not satisfied": the inner service's error has to become a [`BoxError`]. Implement `Error`
///   for it, or turn it into another by `ServiceBuilder::map_err`, called after this layer is added.
/// - "`CloneBody` cannot send a request with the body `B` a second time": [the guide](crate::guide::bodies) has a policy
///   for each body.
/// - "`AuthLayer: Service<_>` is not satisfied": a layer wraps a service, and sends nothing itself. Pass
///   `auth.layer(client)` on, by [`Layer`](tower_layer::Layer).
/// - "found an item that was configured out": add the feature that it names to this crate's, in `Cargo.toml`.
#[derive(Clone, Debug)]
pub struct Auth<S, R = CloneBody> /* which bound? see "If rustc says" in the docs of `Auth` */ {
    inner: S,
    settings: Arc<Shared>,
    policy: R,
}

impl<S, R> Auth<S, R> {
    pub(crate) fn new(inner: S, settings: Arc<Shared>, policy: R) -> Self {
        Self { inner, settings, policy }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without this one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R> Auth<S, R>
where
    S: Clone,
    R: Clone,
{
    #[cold]
    fn park<B>(&mut self, request: Request<B>, admission: Admission) -> Parked<S, R, B> {
        // It is this instance that was made ready, so this one goes along, and an unready clone stays.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        Parked::new(self.settings.hold(), ready, self.policy.clone(), request, admission)
    }
}

impl<S, R, B, RB> Service<Request<B>> for Auth<S, R>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone, // if it is not: `.buffer(n)` over it
    S::Error: Into<BoxError>,                                // if it is not: `.map_err(f)` over it
    RB: Body,
    R: Replay<B>, // if it is not: another policy, by `AuthLayer::replay`
{
    type Response = Response<RB>;
    type Error = BoxError;
    type Future = ResponseFuture<S, R, B, RB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let settings = &self.settings;
        let admission = settings.stamp.admit(&request);
        if admission == Admission::Refused {
            return ResponseFuture::sending(self.inner.call(request), Ticket::Untouched);
        }
        let refresher = &settings.refresher;
        let now = refresher.now();
        let current = refresher.store.current();
        let Some(issued) = current.as_deref().filter(|issued| issued.is_usable(now)) else {
            drop(current);
            return ResponseFuture::parked(self.park(request, admission));
        };
        refresher.attend(issued, now);
        let sent = Sent::new(settings.hold(), admission, issued, now);
        match Ticket::stamp(&self.inner, &self.policy, &mut request, sent, settings.max_wait, issued) {
            Ok(ticket) => ResponseFuture::sending(self.inner.call(request), ticket),
            Err(error) => ResponseFuture::failed(error),
        }
    }
}

//! `KeyedAuth`: find the layer of a request's key, and send the request by its settings.

use std::{
    fmt,
    hash::Hash,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    authorize::NoAuth,
    error::{AuthError, BoxError},
    future::ResponseFuture,
    keyed::entries::Entries,
    replay::{CloneBody, Replay},
    service::{fail, send},
    time,
};

/// HTTP client service that authenticates each request by its key.
///
/// Made by a [`KeyedAuthLayer`](super::KeyedAuthLayer).
///
/// It does what [`Auth`](crate::Auth) does, with the token of the request's key. Clones share all tokens.
///
/// # Errors
///
/// Those of [`Auth`](crate::Auth), and
///
/// - [`Config`](crate::ErrorKind::Config) for a request without a key
/// - the error of `make`, which was called for a key that has no entry
///
/// # Panics
///
/// As [`Auth`](crate::Auth) does. `call` panics if `make`, the function that finds the key, or the key's `Eq` or `Hash` does;
/// later calls are not affected.
///
/// # Cancellation
///
/// See [`ResponseFuture`].
pub struct KeyedAuth<S, K, R = CloneBody> /* which bound? see "Compiler messages" in the docs of `Auth` */ {
    inner: S,
    entries: Arc<Entries<K, R>>,
}

impl<S, K, R> KeyedAuth<S, K, R> {
    pub(super) fn new(inner: S, entries: Arc<Entries<K, R>>) -> Self {
        Self { inner, entries }
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

impl<S, K, R, B, RB> Service<Request<B>> for KeyedAuth<S, K, R>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone, // if it is not: `.buffer(n)` over it
    S::Error: Into<BoxError>,                                // if it is not: `.map_err(f)` over it
    K: Clone + Eq + Hash + Send + Sync + 'static,
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
        let Self { inner, entries } = self;
        let (request, computed) = match &entries.key {
            Some(key_of) => {
                let (head, body) = request.into_parts();
                let key = key_of(&head);
                (Request::from_parts(head, body), Some(key))
            }
            None => (request, None),
        };
        let key = match &computed {
            Some(key) => key.as_ref(),
            None => request.extensions().get(),
        };
        let Some(key) = key else {
            return match request.extensions().get() {
                Some(NoAuth) => ResponseFuture::passthrough(inner.call(request)),
                None => fail(inner, AuthError::config(NO_KEY)),
            };
        };
        let (now, hash) = (time::instant(), entries.table.hash(key));
        let bucket = entries.table.look(hash, now);
        if let Some(made) = entries.table.find(&bucket, hash, key, now) {
            return send(inner, made.layer.settings(), made.layer.policy(), request, || now);
        }
        drop(bucket);
        if let Some(NoAuth) = request.extensions().get() {
            return ResponseFuture::passthrough(inner.call(request));
        }
        match entries.find_or_make(key) {
            Ok(entry) => {
                let layer = &entry.value.layer;
                send(inner, layer.settings(), layer.policy(), request, time::instant)
            }
            Err(error) => fail(inner, error),
        }
    }
}

impl<S: Clone, K, R> Clone for KeyedAuth<S, K, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), entries: Arc::clone(&self.entries) }
    }
}

impl<S: fmt::Debug, K, R> fmt::Debug for KeyedAuth<S, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedAuth").field("inner", &self.inner).field("entries", &self.entries).finish()
    }
}

const NO_KEY: &str = "the request has no key, so nothing tells which token it needs: insert the key into its extensions, or \
                      find it with key(..); a request with NoAuth needs none";

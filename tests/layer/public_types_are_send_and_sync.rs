//! The public types are `Clone`, `Send`, `Sync` and `Debug` as the documentation says, and ask no more of what they hold.

use std::{
    cell::Cell,
    collections::VecDeque,
    error::Error,
    fmt::{Debug, Display},
    future::{Future, Ready, ready},
    hash::Hash,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any, assert_obj_safe};
use tower::{Layer, Service};
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, AuthLayerBuilder, BoxError, Credentials, ErrorKind, NoAuth, ResponseFuture,
    fleet::{Lookup, MemoryStore, SealedToken, SharedTokenSource, SharedTokenSourceBuilder, TokenStore},
    keyed::{KeyedAuth, KeyedAuthLayer, KeyedAuthLayerBuilder},
    oauth::{
        Assertion, AssertionFile, AssertionRequest, AssertionSource, ClientAuth, ClientCredentialsGrant,
        ClientCredentialsGrantBuilder,
    },
    rejection::{NotReplayed, OtherOrigin, Rejection},
    replay::{CloneBody, EmptyBody, NoReplay, Replay, ReplayBody},
    signing::{Sign, SignRules, SignatureHeaders, Signer, SignerFn, SigningContext, TimestampHmac},
    token::{
        AccessToken, FetchRequest, KeepWarm, RefreshPolicy, SourceFn, TokenHandle, TokenSource, TokenState,
        TokenStatus, source_fn,
    },
};

type Body = Full<Bytes>;

/// An inner service with this inside, which decides what the service may be.
#[derive(Clone, Debug)]
struct Inner<T>(T);

impl<T> Service<Request<Body>> for Inner<T> {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answer<T>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Body>) -> Answer<T> {
        Answer(std::marker::PhantomData, ready(Ok(Response::new(Body::default()))))
    }
}

struct Answer<T>(std::marker::PhantomData<T>, Ready<Result<Response<Body>, BoxError>>);

impl<T> Unpin for Answer<T> {}

impl<T> Future for Answer<T> {
    type Output = Result<Response<Body>, BoxError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        std::pin::Pin::new(&mut self.1).poll(cx)
    }
}

/// A type that may go to another thread and be used by several.
macro_rules! assert_shared {
    ($($name:ty: $($bound:path),*;)*) => { $(assert_impl_all!($name: Send, Sync, Unpin, Debug $(, $bound)*);)* };
}

assert_shared! {
    AuthLayer: Clone;
    AuthLayer<NoReplay>: Clone;
    AuthLayerBuilder: ;
    Auth<Inner<u8>>: Clone;
    Auth<Inner<u8>, NoReplay>: Clone;
    AccessToken: Clone;
    FetchRequest: Clone;
    SourceFn<fn()>: Clone;
    SignerFn<fn()>: Clone;
    TokenHandle: Clone;
    TokenStatus: Clone;
    TokenState: Clone, Copy, Display, PartialEq, Eq, Hash;
    KeepWarm: ;
    KeyedAuthLayer<Inner<u8>>: Clone;
    KeyedAuthLayerBuilder<Inner<u8>, NoReplay>: ;
    KeyedAuth<Inner<u8>, Inner<u8>>: Clone;
    RefreshPolicy: Clone, Default, PartialEq;
    Credentials: Clone;
    ClientCredentialsGrant: Clone, TokenSource;
    ClientAuth: Clone, Copy, Default, PartialEq, Eq, Hash;
    Assertion: Clone;
    AssertionRequest<'static>: Clone, Copy;
    AssertionFile: Clone, AssertionSource;
    SigningContext<'static>: Clone;
    SignatureHeaders: Clone, Default;
    TimestampHmac: Clone, Signer;
    SignRules: Clone;
    Sign: Clone, Copy, PartialEq, Eq, Hash;
    NoAuth: Clone, Copy;
    Rejection: Clone, Copy, PartialEq, Eq, Hash;
    NotReplayed: Clone, Copy, Display, PartialEq, Eq, Hash;
    OtherOrigin: Clone, Display, PartialEq, Eq, Hash;
    CloneBody: Clone, Copy, Default;
    EmptyBody: Clone, Copy, Default;
    NoReplay: Clone, Copy, Default;
    ReplayBody<Body>: http_body::Body<Data = Bytes, Error = BoxError>;
    AuthError: Clone, Error, Display;
    ErrorKind: Clone, Copy, Display, PartialEq, Eq, Hash;
    SharedTokenSource<SourceFn<fn()>>: Clone;
    SharedTokenSourceBuilder<SourceFn<fn()>>: ;
    MemoryStore: Clone, Default, TokenStore;
    Lookup: Clone, PartialEq, Eq;
    SealedToken: Clone, PartialEq, Eq;
}

assert_impl_all!(ClientCredentialsGrantBuilder: Send, Sync, Debug);
assert_impl_all!(Auth<Inner<u8>>: Service<Request<Body>, Response = Response<Body>, Error = BoxError>);
assert_impl_all!(AuthLayer: Layer<Inner<u8>, Service = Auth<Inner<u8>>>);
assert_impl_all!(KeyedAuthLayer<u8>: Layer<Inner<u8>, Service = KeyedAuth<Inner<u8>, u8>>);
assert_impl_all!(KeyedAuth<Inner<u8>, u8>: Service<Request<Body>, Response = Response<Body>, Error = BoxError>);
assert_impl_all!(KeyedAuthLayer<Mute, Mute>: Clone, Debug, Layer<Rc<u8>>);
assert_impl_all!(KeyedAuthLayer<u8>: IsSame<KeyedAuthLayer<u8, CloneBody>>);
assert_impl_all!(KeyedAuth<u8, u8>: IsSame<KeyedAuth<u8, u8, CloneBody>>);
assert_impl_all!(CloneBody: Replay<Body>, Replay<String>, Replay<ReplayBody<Body>>, Replay<ReplayBody<Stream>>);
assert_impl_all!(EmptyBody: Replay<Body>, Replay<http_body_util::Empty<Bytes>>);
assert_impl_all!(NoReplay: Replay<Body>, Replay<Rc<u8>>);
assert_impl_all!(BoxError: From<AuthError>);
assert_obj_safe!(TokenSource, Signer, AssertionSource, TokenStore);
assert_impl_all!(Arc<dyn TokenSource>: TokenSource);
assert_impl_all!(Box<dyn TokenSource>: TokenSource);
assert_impl_all!(Arc<dyn Signer>: Signer);
assert_impl_all!(Box<dyn Signer>: Signer);

// A layer and its builder show themselves and are shared, whatever their policy.
assert_impl_all!(AuthLayer<Inner<u8>>: Send, Sync, Debug);
assert_impl_all!(AuthLayer<Mute>: Debug);
assert_impl_all!(AuthLayerBuilder<Mute>: Debug);

/// Neither `Clone` nor `Debug`.
struct Mute;

// The default type parameters.
assert_impl_all!(AuthLayer: IsSame<AuthLayer<CloneBody>>);
assert_impl_all!(Auth<u8>: IsSame<Auth<u8, CloneBody>>);

trait IsSame<T> {}
impl<T> IsSame<T> for T {}

// An error is as large as a pointer, and leaves room for `None`.
assert_eq_size!(AuthError, usize);
assert_eq_size!(Option<AuthError>, usize);

/// A stream that cannot be moved once it is read, and whose data are not `Bytes`; with a cell, it is not `Sync` either.
struct Stream<T = Cell<u8>>(std::marker::PhantomData<T>, std::marker::PhantomPinned);

impl<T> http_body::Body for Stream<T> {
    type Data = VecDeque<u8>;
    type Error = std::fmt::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(None)
    }
}

// Copies of a stream move between threads if the stream does, are shared by them all the same, and move in any case.
assert_impl_all!(ReplayBody<Stream>: http_body::Body<Data = Bytes, Error = BoxError>, Send, Sync, Unpin, Debug);
assert_impl_all!(ReplayBody<Stream<Rc<u8>>>: http_body::Body, Unpin, Debug);
assert_not_impl_any!(ReplayBody<Stream<Rc<u8>>>: Send, Sync);
assert_not_impl_any!(ReplayBody<Body>: Clone);

type Pending<S, B = Body> = ResponseFuture<S, CloneBody, B, Body>;

// A response future is `Send` exactly when its parts are, and asks no more of the inner service than its traits.
assert_impl_all!(Pending<Inner<u8>>: Future<Output = Result<Response<Body>, BoxError>>, Send, Debug);
assert_impl_all!(Pending<Inner<Cell<u8>>>: Send);
assert_not_impl_any!(Pending<Inner<Rc<u8>>>: Send);
assert_impl_all!(Pending<Inner<Rc<u8>>>: Future<Output = Result<Response<Body>, BoxError>>, Debug);
assert_impl_all!(Auth<Inner<Rc<u8>>>: Service<Request<Body>>, Clone);
assert_not_impl_any!(Auth<Inner<Rc<u8>>>: Send);

// Neither the layer nor its service asks anything of what they wrap.
assert_impl_all!(Auth<Rc<Cell<u8>>>: Clone, Debug);
assert_impl_all!(AuthLayer: Layer<Rc<Cell<u8>>>, Layer<&'static str>);

#[cfg(feature = "paynet")]
mod paynet {
    use std::str::FromStr;

    use http::HeaderName;
    use tower_outbound_auth::paynet::{
        Environment, PayNetLayer, PeekedBody, RejectionFuture, RejectionLayer, Rejections, X_FIID, X_SIGNATURE,
        X_TIMESTAMP,
    };

    use super::*;

    assert_shared! {
        Environment: Clone, Display, PartialEq, Eq, Hash, FromStr;
        PayNetLayer: Clone, From<AuthLayer>;
        RejectionLayer: Clone, Copy, Default;
        Rejections<Inner<u8>>: Clone;
        RejectionFuture<Ready<u8>, Body>: ;
        PeekedBody<Body>: http_body::Body;
    }

    assert_impl_all!(PayNetLayer: Layer<Inner<u8>, Service = Auth<Rejections<Inner<u8>>>>);

    #[test]
    fn the_names_of_paynets_headers_are_constants() {
        const NAMES: [HeaderName; 3] = [X_TIMESTAMP, X_SIGNATURE, X_FIID];
        assert_eq!(NAMES.each_ref().map(HeaderName::as_str), ["x-timestamp", "x-signature", "x-fiid"]);
    }
}

#[cfg(feature = "client")]
mod client {
    use tower_outbound_auth::client::{HttpsClient, HttpsClientBuilder};

    use super::*;

    assert_shared! {
        HttpsClient: Clone;
        HttpsClientBuilder: Clone, Default;
    }

    // Any body of `Bytes`, be it `Sync` or not; what comes back is `Sync`, as some frameworks want bodies.
    type Unsync = http_body_util::combinators::UnsyncBoxBody<Bytes, std::fmt::Error>;
    type Received = http_body_util::combinators::BoxBody<Bytes, BoxError>;
    assert_impl_all!(HttpsClient: Service<Request<Body>, Response = Response<Received>, Error = BoxError>);
    assert_impl_all!(HttpsClient: Service<Request<Unsync>>, Service<Request<String>>);
    assert_impl_all!(<HttpsClient as Service<Request<Body>>>::Future: Send);
    assert_impl_all!(Auth<HttpsClient>: Service<Request<Body>, Response = Response<Received>>, Clone, Send, Sync);
}

#[cfg(feature = "reqwest")]
mod reqwest {
    use reqwest_middleware::Middleware;
    use tower_outbound_auth::reqwest::{AuthMiddleware, RequestBody, ReqwestFuture, ReqwestService};

    use super::*;

    assert_shared! {
        AuthMiddleware: Clone, Middleware;
        ReqwestService: Clone;
        RequestBody: ;
    }

    assert_impl_all!(AuthMiddleware: From<AuthLayer>, From<AuthLayer<EmptyBody>>, From<AuthLayer<NoReplay>>);
    #[cfg(feature = "paynet")]
    assert_impl_all!(AuthMiddleware: From<tower_outbound_auth::paynet::PayNetLayer<NoReplay>>);
    assert_impl_all!(CloneBody: Replay<RequestBody>);
    assert_not_impl_any!(RequestBody: Clone);
    assert_impl_all!(ReqwestFuture: Send, Debug);
    type Answer = Response<::reqwest::Body>;
    assert_impl_all!(ReqwestService: Service<Request<Body>, Response = Answer, Error = ::reqwest::Error>);
    assert_impl_all!(ReqwestService: Service<Request<String>>, Service<Request<::reqwest::Body>>);
    assert_impl_all!(Auth<ReqwestService>: Service<Request<Body>, Response = Answer>, Clone, Send, Sync);
}

#[cfg(feature = "jwt")]
mod jwt {
    use tower_outbound_auth::oauth::{Algorithm, Audience, PrivateKeyJwt};

    use super::*;

    assert_shared! {
        Algorithm: Clone, Copy, PartialEq, Eq, Hash;
        Audience: Clone, PartialEq, Eq, Hash;
        PrivateKeyJwt: Clone, AssertionSource;
    }
}

#[cfg(feature = "redis")]
mod redis {
    use tower_outbound_auth::fleet::RedisStore;

    use super::*;

    assert_shared! {
        RedisStore: Clone, TokenStore;
    }
}

#[cfg(feature = "sandbox")]
mod sandbox {
    use tower_outbound_auth::sandbox::{
        ClientStats, Fault, FaultKind, RejectionStyle, Sandbox, SandboxBuilder, SandboxService, Stats,
    };

    use super::*;

    assert_shared! {
        Sandbox: ;
        SandboxBuilder: Default;
        SandboxService: Clone;
        Fault: Clone, PartialEq, Eq;
        FaultKind: Clone, PartialEq, Eq;
        RejectionStyle: Clone, Copy, Default, PartialEq, Eq, Hash;
        Stats: Clone, Copy, Default, PartialEq, Eq;
        ClientStats: Clone, Copy, Default, PartialEq, Eq;
    }

    // It can stand in for `HttpsClient`.
    type Received = http_body_util::combinators::BoxBody<Bytes, BoxError>;
    assert_impl_all!(SandboxService: Service<Request<Body>, Response = Response<Received>, Error = BoxError>);
    assert_impl_all!(SandboxService: Service<Request<String>>);
    assert_impl_all!(<SandboxService as Service<Request<Body>>>::Future: Send);
}

#[test]
fn a_service_gives_its_inner_service_back() {
    let layer = builder().build().unwrap();
    let mut service = layer.layer(Inner(1_u8));
    service.get_mut().0 += 1;
    assert_eq!(service.get_ref().0, 2);
    assert_eq!(service.clone().into_inner().0, 2);
    let layer = builder().replay(NoReplay).build().unwrap();
    assert_eq!(layer.layer("anything at all").into_inner(), "anything at all");
}

fn builder() -> AuthLayerBuilder {
    AuthLayer::builder(source_fn(|_| std::future::pending())).any_origin()
}

//! A request with a token at hand costs what its headers cost, and one that gets no credentials costs nothing at all.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use allocation_counter::{AllocationInfo, measure};
use http::{HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service, ServiceBuilder};
use tower_http::auth::AddAuthorizationLayer;
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, AuthLayerBuilder, Credentials, NoAuth,
    keyed::KeyedAuthLayer,
    replay::NoReplay,
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, FetchRequest, TokenSource},
};

use crate::support::{Body, Issuer, ORIGIN, get};

/// The least that a service can do.
#[derive(Clone, Copy, Debug)]
struct Trivial;

impl Service<Request<Body>> for Trivial {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Body::default())))
    }
}

/// A token source that has its token at hand.
struct AtHand;

impl TokenSource for AtHand {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(ready(AccessToken::new(TOKEN, Some(Duration::from_secs(36_000)))))
    }
}

const TOKEN: &str = "a-token-of-some-length-0123456789";

fn builder() -> AuthLayerBuilder {
    AuthLayer::builder(AtHand).origin(ORIGIN)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// With its token at hand.
fn warm<R>(builder: AuthLayerBuilder<R>) -> AuthLayer<R> {
    let layer = builder.build().unwrap();
    run(layer.handle().token()).unwrap();
    layer
}

/// What one request costs in this service from `call` to the response; the second one, once all is in place.
fn cost<S>(mut service: S, request: impl Fn() -> Request<Body>) -> AllocationInfo
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut cost = AllocationInfo::default();
    for _ in 0..2 {
        let request = request();
        cost = measure(|| {
            let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else {
                panic!("a trivial service answers at once");
            };
            drop(response);
        });
    }
    assert!(cost.count_current <= 0, "all is given back, and what the request held: {cost:?}");
    cost
}

/// Allocations and bytes.
fn total(cost: AllocationInfo) -> (u64, u64) {
    (cost.count_total, cost.bytes_total)
}

#[test]
fn s1_a_bearer_costs_what_a_static_header_costs() {
    let ours = cost(warm(builder().replay(NoReplay)).layer(Trivial), || get("/a"));
    let theirs = cost(AddAuthorizationLayer::bearer(TOKEN).layer(Trivial), || get("/a"));
    assert_eq!(total(ours), total(theirs));
    assert!(ours.count_total > 0, "a first header needs a table");
}

#[test]
fn s1_a_signature_costs_what_three_static_headers_cost() {
    let signer = TimestampHmac::sha256(Credentials::new("id", "a key"));
    let service = warm(builder().sign(SignRules::all(), signer).replay(NoReplay)).layer(Trivial);
    let names = ["authorization", "x-timestamp", "x-signature"].map(HeaderName::from_static);
    let three = ServiceBuilder::new().map_request(move |mut request: Request<Body>| {
        for name in &names {
            request.headers_mut().insert(name.clone(), HeaderValue::from_static("static"));
        }
        request
    });
    let theirs = total(cost(three.service(Trivial), || get("/a")));
    // A second may end between two requests, and its successor is computed then.
    assert!((0..5).any(|_| total(cost(service.clone(), || get("/a"))) == theirs), "{theirs:?}");
}

#[test]
fn s1_a_static_header_costs_no_more_than_itself() {
    let name = HeaderName::from_static("x-fiid");
    let dressed = builder().header(name.clone(), HeaderValue::from_static("BANK"));
    let ours = cost(warm(dressed.replay(NoReplay)).layer(Trivial), || get("/a"));
    let bare = ServiceBuilder::new().layer(AddAuthorizationLayer::bearer(TOKEN)).map_request(
        move |mut request: Request<Body>| {
            request.headers_mut().insert(name.clone(), HeaderValue::from_static("BANK"));
            request
        },
    );
    assert_eq!(total(ours), total(cost(bare.service(Trivial), || get("/a"))));
}

fn with_headers() -> Request<Body> {
    let mut request = get("/a/path?and=a+query");
    *request.body_mut() = Body::from("a body of some length");
    for name in ["accept", "user-agent", "x-request-id"] {
        request.headers_mut().insert(name, HeaderValue::from_static("some value"));
    }
    request.extensions_mut().insert(7_u8);
    request
}

#[test]
fn s1_a_look_up_by_key_allocates_nothing() {
    let keyed = KeyedAuthLayer::builder(|_: &u8| builder().replay(NoReplay).build()).build();
    run(keyed.handle(&7).unwrap().token()).unwrap();
    let plain = cost(warm(builder().replay(NoReplay)).layer(Trivial), with_headers);
    assert_eq!(total(cost(keyed.layer(Trivial), with_headers)), total(plain));
}

#[test]
fn s1_a_body_that_can_be_replayed_costs_its_copy_and_one_box() {
    for request in [|| get("/a"), with_headers] {
        let once = cost(warm(builder().replay(NoReplay)).layer(Trivial), request);
        let twice = cost(warm(builder()).layer(Trivial), request);
        let original = request();
        let copy = measure(|| drop(original.clone()));
        let extra = twice.count_total - once.count_total;
        assert_eq!(extra, copy.count_total + 1, "{once:?} {twice:?} {copy:?}");
        let boxed = twice.bytes_total - once.bytes_total - copy.bytes_total;
        assert!(boxed <= size_of::<Request<Body>>() as u64 + 96, "the box has {boxed} bytes");
    }
}

/// Layers that sign; with a copy for a replay, and without.
fn signing() -> (AuthLayer, AuthLayer<NoReplay>) {
    let builder = || builder().sign(SignRules::all(), TimestampHmac::sha256(Credentials::new("id", "a key")));
    (warm(builder()), warm(builder().replay(NoReplay)))
}

#[test]
fn s3_a_request_out_of_scope_costs_nothing() {
    let elsewhere = || Request::get("https://other.example.com/a").body(Body::default()).unwrap();
    let no_auth = || {
        let mut request = get("/a");
        request.extensions_mut().insert(NoAuth);
        request
    };
    let (layer, without_replay) = signing();
    for request in [elsewhere, no_auth] {
        assert_eq!(total(cost(layer.layer(Trivial), request)), total(cost(Trivial, request)));
        assert_eq!(total(cost(without_replay.layer(Trivial), request)), (0, 0));
    }
}

/// That it has some is found while ours are written.
#[test]
fn s5_a_request_with_credentials_of_its_own_costs_a_copy_and_two_lists() {
    let own = || {
        let mut request = get("/a");
        request.headers_mut().insert("authorization", HeaderValue::from_static("Basic b3du"));
        request
    };
    let copy = measure(|| drop(own().clone())).count_total - measure(|| drop(own())).count_total;
    let (layer, without_replay) = signing();
    assert!(cost(without_replay.layer(Trivial), own).count_total <= 2);
    assert!(cost(layer.layer(Trivial), own).count_total <= copy + 2);
}

type FutureOf<S> = <S as Service<Request<Body>>>::Future;

#[test]
fn a_response_future_is_hardly_larger_than_the_inner_one() {
    use hyper_util::client::legacy::{Client, connect::HttpConnector};
    type Hyper = Client<HttpConnector, Body>;
    let grown = [
        size_of::<FutureOf<Auth<Trivial>>>() - size_of::<FutureOf<Trivial>>(),
        size_of::<FutureOf<Auth<Trivial, NoReplay>>>() - size_of::<FutureOf<Trivial>>(),
        size_of::<FutureOf<Auth<Hyper>>>() - size_of::<FutureOf<Hyper>>(),
        size_of::<FutureOf<Auth<Hyper, NoReplay>>>() - size_of::<FutureOf<Hyper>>(),
    ];
    // The settings; which token the request carries, and since when; and the clock that it was signed by.
    assert!(grown.iter().all(|bytes| *bytes <= 32), "{grown:?} bytes");
}

/// Bytes that each of many callers holds while all wait for the same token.
fn parked(layer: &AuthLayer) -> u64 {
    const CALLERS: u32 = 1024;
    let mut cx = Context::from_waker(Waker::noop());
    let mut service = layer.layer(Trivial);
    let mut waiting = Vec::with_capacity(CALLERS as usize);
    let mut requests: Vec<_> = (0..=CALLERS).map(|_| get("/a")).collect();
    // The first one starts the fetch.
    let mut first = Box::pin(service.call(requests.pop().unwrap()));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    let cost = measure(|| {
        for request in requests {
            let mut response = Box::pin(service.call(request));
            assert!(response.as_mut().poll(&mut cx).is_pending());
            waiting.push(response);
        }
    });
    // The vector of requests was allocated before, and is given back within.
    let vector = u64::from(CALLERS + 1) * size_of::<Request<Body>>() as u64;
    (u64::try_from(cost.bytes_current).unwrap_or_default() + vector) / u64::from(CALLERS)
}

#[test]
fn a_parked_caller_costs_little_over_its_request() {
    for (max_wait, limit) in [(None, 512), (Some(Duration::from_secs(5)), 512)] {
        let builder = Issuer::new().builder();
        let builder = max_wait.into_iter().fold(builder, AuthLayerBuilder::max_wait);
        let bytes = run(async { parked(&builder.build().unwrap()) });
        let over = bytes - size_of::<Request<Body>>() as u64;
        assert!(over <= limit, "{over} bytes with a max_wait of {max_wait:?}");
        assert!(over >= 32, "{over} bytes cannot be all");
    }
}

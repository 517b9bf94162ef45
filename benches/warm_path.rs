//! What a warm request costs, as a ratio to a layer that inserts one prebuilt header.
//!
//! `cargo bench --bench warm_path`. All variants take turns within each round, so that a machine whose speed drifts slows
//! them all; the figures are medians over the rounds.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceBuilder, retry::Policy, service_fn};
use tower_http::{auth::AddAuthorizationLayer, set_header::SetRequestHeaderLayer};
use tower_outbound_auth::{
    AccessToken, AuthError, AuthLayer, BoxError, Credentials, FetchRequest, NoAuth, NoReplay, SignRules, TimestampHmac,
    TokenHandle, TokenSource,
};

type Body = Empty<&'static [u8]>;

struct Fixed;

impl TokenSource for Fixed {
    fn fetch<'a>(
        &'a self,
        _request: FetchRequest<'a>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
        Box::pin(ready(AccessToken::new("t".repeat(800), Some(Duration::from_secs(3600)))))
    }
}

/// Retries nothing, but keeps a copy, as a retry layer does.
#[derive(Clone)]
struct KeepCopy;

impl<R, E> Policy<Request<Body>, R, E> for KeepCopy {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<Body>, _: &mut Result<R, E>) -> Option<Ready<()>> {
        None
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

fn request() -> Request<Body> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = http::Uri::from_static("https://api.example.com/v1/reports/types?day=1");
    for number in 0..8 {
        let name = HeaderName::try_from(format!("x-present-{number}")).unwrap_or(HeaderName::from_static("x-present"));
        request.headers_mut().insert(name, HeaderValue::from_static("some value of usual length"));
    }
    request
}

fn inner() -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    service_fn(|request: Request<Body>| {
        black_box(request.headers().len());
        ready(Ok(Response::new(Empty::new())))
    })
}

/// Nanoseconds of one call; making and dropping the request is part of it for all variants alike.
fn time<S: Service<Request<Body>>>(service: &mut S, request: &Request<Body>) -> f64 {
    let mut context = Context::from_waker(Waker::noop());
    let copies: Vec<_> = (0..CALLS).map(|_| request.clone()).collect();
    let start = Instant::now();
    for request in copies {
        let mut response = pin!(service.call(request));
        if let Poll::Ready(response) = response.as_mut().poll(&mut context) {
            drop(black_box(response));
        }
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn warm_up(handles: [TokenHandle; 2]) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    for handle in handles {
        runtime.block_on(handle.token())?;
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let bearer = AuthLayer::builder(Fixed).origin("https://api.example.com").build()?;
    let hmac = TimestampHmac::sha256(Credentials::new("id", "secret"));
    let bearer_and_signature =
        AuthLayer::builder(Fixed).origin("https://api.example.com").sign(SignRules::all(), hmac).build()?;
    warm_up([bearer.handle(), bearer_and_signature.handle()])?;

    let header = || AddAuthorizationLayer::bearer(&"t".repeat(800)).as_sensitive(true);
    let set =
        |name| SetRequestHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static("0123456789"));
    let mut bare = inner();
    let mut one = header().layer(inner());
    let mut three =
        ServiceBuilder::new().layer(header()).layer(set("x-timestamp")).layer(set("x-signature")).service(inner());
    let mut copying = ServiceBuilder::new().retry(KeepCopy).layer(header()).service(inner());
    let mut no_replay = bearer.clone().replay(NoReplay).layer(inner());
    let mut clone_body = bearer.layer(inner());
    let mut signed = bearer_and_signature.replay(NoReplay).layer(inner());

    let (request, mut open) = (request(), request());
    open.extensions_mut().insert(NoAuth);
    let mut elsewhere = request.clone();
    *elsewhere.uri_mut() = http::Uri::from_static("https://other.example.com/v1/reports/types?day=1");

    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push([
            time(&mut bare, &request),
            time(&mut one, &request),
            time(&mut three, &request),
            time(&mut copying, &request),
            time(&mut no_replay, &request),
            time(&mut clone_body, &request),
            time(&mut signed, &request),
            time(&mut no_replay, &elsewhere),
            time(&mut no_replay, &open),
            time(&mut bare, &open),
        ]);
    }
    report(&rounds);
    Ok(())
}

fn report(rounds: &[[f64; 10]]) {
    let ratio = |name: &str, of: usize, to: usize| {
        let mut ratios: Vec<f64> = rounds.iter().filter_map(|round| Some(round.get(of)? / round.get(to)?)).collect();
        let mut times: Vec<f64> = rounds.iter().filter_map(|round| round.get(of).copied()).collect();
        ratios.sort_by(f64::total_cmp);
        times.sort_by(f64::total_cmp);
        let middle = |sorted: &[f64]| sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
        println!("{name:<52} {:>5.2}   {:>6.0} ns", middle(&ratios), middle(&times));
    };
    println!("{:<52} {:>5}   {:>9}", "", "ratio", "median");
    ratio("bearer, NoReplay / one static header", 4, 1);
    ratio("bearer and signature, NoReplay / three static headers", 6, 2);
    ratio("bearer, CloneBody / retry that clones, static header", 5, 3);
    ratio("out of scope / bare service", 7, 0);
    ratio("NoAuth / bare service", 8, 9);
}

const CALLS: u32 = 2_000;
const ROUNDS: u32 = 401;

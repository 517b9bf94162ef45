//! What a warm request costs, as a ratio to a layer that inserts one prebuilt header.
//!
//! `cargo bench --bench warm_path`. All variants take turns within each round, so that a machine whose speed drifts slows
//! them all; the figures are medians over the rounds.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

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
use support::{Report, Rounds};
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

    let (mut elsewhere, mut opted_out, mut bare_again) = (no_replay.clone(), no_replay.clone(), inner());
    let (request, mut open) = (request(), request());
    open.extensions_mut().insert(NoAuth);
    let mut other = request.clone();
    *other.uri_mut() = http::Uri::from_static("https://other.example.com/v1/reports/types?day=1");

    let rounds = Rounds::run(
        ROUNDS,
        [
            &mut || time(&mut bare, &request),
            &mut || time(&mut one, &request),
            &mut || time(&mut three, &request),
            &mut || time(&mut copying, &request),
            &mut || time(&mut no_replay, &request),
            &mut || time(&mut clone_body, &request),
            &mut || time(&mut signed, &request),
            &mut || time(&mut elsewhere, &other),
            &mut || time(&mut opted_out, &open),
            &mut || time(&mut bare_again, &open),
        ],
    );
    let mut report = Report::new("warm_path");
    for (row, of, to) in [
        ("bearer and NoReplay ÷ one static header", 4, 1),
        ("bearer and signature and NoReplay ÷ three static headers", 6, 2),
        ("bearer and CloneBody ÷ a retry layer that clones over a static header", 5, 3),
        ("out of scope ÷ the bare service", 7, 0),
        ("NoAuth ÷ the bare service", 8, 9),
    ] {
        report.row("warm path", row, [("ratio", rounds.ratio(of, to)), ("ns", rounds.median(of))]);
    }
    report.finish()?;
    Ok(())
}

const CALLS: u32 = 2_000;
const ROUNDS: u32 = 401;

//! What a warm request costs, as a ratio to a layer that inserts one prebuilt header.
//!
//! `cargo bench --bench warm_path`. All variants take turns within each round, so that a machine whose speed drifts slows
//! them all; the figures are medians over the rounds. `cargo bench --bench warm_path -- signed 7` runs that many rounds of one
//! variant, for a profiler or `benches/instructions.sh`.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

use std::{
    convert::Infallible,
    env,
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
    AccessToken, AuthError, AuthLayer, AuthLayerBuilder, BoxError, Credentials, FetchRequest, NoAuth, NoReplay,
    SignRules, TimestampHmac, TokenSource,
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

/// Sends requests one after the other, and tells the nanoseconds that each took, from its making until all of it is dropped.
type Variant = Box<dyn FnMut() -> f64>;

fn variant<S>(mut service: S, request: Request<Body>) -> Variant
where
    S: Service<Request<Body>> + 'static,
{
    Box::new(move || {
        let mut context = Context::from_waker(Waker::noop());
        let start = Instant::now();
        for _ in 0..CALLS {
            let mut response = pin!(service.call(request.clone()));
            if let Poll::Ready(response) = response.as_mut().poll(&mut context) {
                drop(black_box(response));
            }
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    })
}

/// With its token at hand.
fn warm(builder: AuthLayerBuilder) -> Result<AuthLayer, BoxError> {
    let layer = builder.build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(layer.handle().token())?;
    Ok(layer)
}

fn variants() -> Result<[Variant; NAMES.len()], BoxError> {
    let bearer = warm(AuthLayer::builder(Fixed).origin("https://api.example.com"))?;
    let hmac = TimestampHmac::sha256(Credentials::new("id", "secret"));
    let signed = warm(AuthLayer::builder(Fixed).origin("https://api.example.com").sign(SignRules::all(), hmac))?;

    let header = || AddAuthorizationLayer::bearer(&"t".repeat(800)).as_sensitive(true);
    let set =
        |name| SetRequestHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static("0123456789"));
    let three = ServiceBuilder::new().layer(header()).layer(set("x-timestamp")).layer(set("x-signature"));
    let copying = ServiceBuilder::new().retry(KeepCopy).layer(header());
    let once = bearer.clone().replay(NoReplay);

    let (request, mut open) = (request(), request());
    open.extensions_mut().insert(NoAuth);
    let mut elsewhere = request.clone();
    *elsewhere.uri_mut() = http::Uri::from_static("https://other.example.com/v1/reports/types?day=1");
    Ok([
        variant(inner(), request.clone()),
        variant(header().layer(inner()), request.clone()),
        variant(three.service(inner()), request.clone()),
        variant(copying.service(inner()), request.clone()),
        variant(once.layer(inner()), request.clone()),
        variant(bearer.layer(inner()), request.clone()),
        variant(signed.clone().replay(NoReplay).layer(inner()), request.clone()),
        variant(signed.layer(inner()), request),
        variant(once.layer(inner()), elsewhere),
        variant(once.layer(inner()), open.clone()),
        variant(inner(), open),
    ])
}

fn main() -> Result<(), BoxError> {
    let mut variants = variants()?;
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [name, rounds] = wanted.as_slice() {
        let variant = NAMES.iter().zip(&mut variants).find(|(known, _)| *known == name);
        let (_, send) = variant.ok_or_else(|| format!("{name} is none of {NAMES:?}"))?;
        (0..rounds.parse()?).for_each(|_| _ = send());
        return Ok(());
    }
    let rounds = Rounds::run(ROUNDS, variants);
    let mut report = Report::new("warm_path");
    for (what, of, to) in [
        ("bearer", 4, 1),
        ("bearer and signature", 6, 2),
        ("bearer and CloneBody", 5, 3),
        ("out of scope", 8, 0),
        ("NoAuth", 9, 10),
    ] {
        let row = format!("{what} ÷ {}", NAMES.get(to).copied().unwrap_or_default());
        report.row("warm path", row, [("ratio", rounds.ratio(of, to)), ("ns", rounds.median(of))]);
    }
    report.finish()?;
    Ok(())
}

const NAMES: [&str; 11] = [
    "bare",
    "static",
    "three-static",
    "cloning-retry",
    "bearer",
    "bearer-clone-body",
    "signed",
    "signed-clone-body",
    "out-of-scope",
    "no-auth",
    "bare-with-extension",
];
const CALLS: u32 = 500;
const ROUNDS: u32 = 1_001;

//! What a warm request costs, as a ratio to a layer that inserts one prebuilt header.
//!
//! `cargo bench --bench warm_path`. All variants take turns within each round, so that a machine whose speed drifts slows
//! them all; the figures are medians over the rounds. `cargo bench --bench warm_path -- signed 7` runs that many rounds of one
//! variant, for a profiler or `benches/instructions.sh`.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

use std::{env, future::Ready, time::Instant};

use http::{HeaderName, HeaderValue, Request, Uri};
use support::{
    Report, Rounds,
    stand_ins::{Api, Body, bearer, call, fixed_header, request, signing},
};
use tower::{Layer, Service, ServiceBuilder, retry::Policy};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_outbound_auth::{BoxError, CloneBody, NoAuth};

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

/// Sends requests one after the other, and tells the nanoseconds that each took, from its making until all of it is dropped.
type Variant = Box<dyn FnMut() -> f64>;

fn variant<S>(mut service: S, request: Request<Body>) -> Variant
where
    S: Service<Request<Body>> + 'static,
{
    Box::new(move || {
        let start = Instant::now();
        for _ in 0..CALLS {
            call(&mut service, request.clone());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    })
}

fn variants() -> Result<[Variant; NAMES.len()], BoxError> {
    let (header, bearer, signed) = (fixed_header(TOKEN), bearer(TOKEN)?, signing(TOKEN)?);
    let set =
        |name| SetRequestHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static("0123456789"));
    let three = ServiceBuilder::new().layer(header.clone()).layer(set("x-timestamp")).layer(set("x-signature"));
    let copying = ServiceBuilder::new().retry(KeepCopy).layer(header.clone());

    let usual = request(HEADERS);
    let (mut open, mut elsewhere) = (usual.clone(), usual.clone());
    open.extensions_mut().insert(NoAuth);
    *elsewhere.uri_mut() = Uri::from_static("https://other.example.com/v1/reports/types?day=1");
    Ok([
        variant(Api, usual.clone()),
        variant(header.layer(Api), usual.clone()),
        variant(three.service(Api), usual.clone()),
        variant(copying.service(Api), usual.clone()),
        variant(bearer.layer(Api), usual.clone()),
        variant(bearer.clone().replay(CloneBody).layer(Api), usual.clone()),
        variant(signed.layer(Api), usual.clone()),
        variant(signed.replay(CloneBody).layer(Api), usual),
        variant(bearer.layer(Api), elsewhere),
        variant(bearer.layer(Api), open.clone()),
        variant(Api, open),
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
const HEADERS: u32 = 8;
const TOKEN: usize = 800;
const CALLS: u32 = 500;
const ROUNDS: u32 = 1_001;

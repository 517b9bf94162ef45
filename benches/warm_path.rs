//! The cost of a request that finds a token, as a ratio to a layer that inserts one prebuilt header.
//!
//! `cargo bench --bench warm_path`. All variants take turns within each round, so that a change of the machine's speed affects
//! all of them; the figures are medians over the rounds. `cargo bench --bench warm_path -- signed 7` runs seven rounds of one
//! variant, for a profiler or `benches/instructions.sh`.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]
#![expect(clippy::cast_precision_loss, reason = "a count of calls")]

mod support;

use std::{env, future::Ready, hint::black_box, iter::repeat_with, time::Instant};

use http::{HeaderName, HeaderValue, Request, Uri};
use support::{
    Report, Rounds,
    stand_ins::{Api, Body, bearer, call, fresh, request, signed, static_header},
};
use tower::{Layer, Service, ServiceBuilder, retry::Policy};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_outbound_auth::{
    BoxError, NoAuth,
    replay::{CloneBody, NoReplay},
};

/// Retry policy that retries nothing, but keeps a copy of each request.
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

/// Sends requests one after the other. Returns the nanoseconds of each, from its start until it is dropped.
type Variant = Box<dyn FnMut() -> f64>;

/// Whether creating the request is measured, too.
#[derive(Clone, Copy, PartialEq)]
enum Creation {
    Before,
    Measured,
}

fn variant<S>(creation: Creation, mut service: S, request: Request<Body>) -> Variant
where
    S: Service<Request<Body>> + 'static,
{
    Box::new(move || {
        let created: Vec<_> =
            repeat_with(|| fresh(&request)).take(if creation == Creation::Before { CALLS } else { 0 }).collect();
        let start = Instant::now();
        for request in created.into_iter().chain(repeat_with(|| fresh(&request))).take(CALLS) {
            call(&mut service, request);
        }
        start.elapsed().as_secs_f64() * 1e9 / CALLS as f64
    })
}

/// Creates requests and drops them.
fn creation(request: Request<Body>) -> Variant {
    Box::new(move || {
        let start = Instant::now();
        (0..CALLS).for_each(|_| drop(black_box(fresh(&request))));
        start.elapsed().as_secs_f64() * 1e9 / CALLS as f64
    })
}

fn variants(creation: Creation) -> Result<[Variant; NAMES.len()], BoxError> {
    let header = static_header(TOKEN);
    let set =
        |name| SetRequestHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static("0123456789"));
    let three = ServiceBuilder::new().layer(header.clone()).layer(set("x-timestamp")).layer(set("x-signature"));
    let copying = ServiceBuilder::new().retry(KeepCopy).layer(header.clone());

    // Boxes the inner service's error, as the layer does.
    let boxing = ServiceBuilder::new().map_err(BoxError::from);

    let usual = request(HEADERS);
    let (mut no_auth, mut other_origin) = (usual.clone(), usual.clone());
    no_auth.extensions_mut().insert(NoAuth);
    *other_origin.uri_mut() = Uri::from_static("https://other.example.com/v1/reports/types?day=1");
    Ok([
        variant(creation, Api, usual.clone()),
        variant(creation, header.layer(Api), usual.clone()),
        variant(creation, three.service(Api), usual.clone()),
        variant(creation, copying.service(Api), usual.clone()),
        variant(creation, bearer(TOKEN, NoReplay)?.layer(Api), usual.clone()),
        variant(creation, bearer(TOKEN, CloneBody)?.layer(Api), usual.clone()),
        variant(creation, signed(TOKEN, NoReplay)?.layer(Api), usual.clone()),
        variant(creation, signed(TOKEN, CloneBody)?.layer(Api), usual.clone()),
        variant(creation, bearer(TOKEN, NoReplay)?.layer(Api), other_origin),
        variant(creation, bearer(TOKEN, NoReplay)?.layer(Api), no_auth.clone()),
        variant(creation, Api, no_auth),
        variant(creation, boxing.service(Api), usual.clone()),
        self::creation(usual),
    ])
}

fn main() -> Result<(), BoxError> {
    let mut variants = variants(Creation::Measured)?;
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [name, rounds] = arguments.as_slice() {
        let variant = NAMES.iter().zip(&mut variants).find(|(known, _)| *known == name);
        let (_, send) = variant.ok_or_else(|| format!("no variant {name}; use one of {NAMES:?}"))?;
        (0..rounds.parse()?).for_each(|_| _ = send());
        return Ok(());
    }
    let mut report = Report::new("warm_path");
    measure("from creating it to dropping it", variants, &mut report);
    measure("call alone", self::variants(Creation::Before)?, &mut report);
    report.finish()?;
    Ok(())
}

fn measure(table: &str, variants: [Variant; NAMES.len()], report: &mut Report) {
    let rounds = Rounds::run(ROUNDS, variants);
    for (what, of, to) in [
        ("bearer", 4, 1),
        ("bearer and signature", 6, 2),
        ("bearer and CloneBody", 5, 3),
        ("out of scope", 8, 0),
        ("NoAuth", 9, 10),
        ("MapErr", 11, 0),
    ] {
        let row = format!("{what} ÷ {}", NAMES.get(to).copied().unwrap_or_default());
        let [ns, to_ns] = [of, to].map(|variant| rounds.median(variant));
        report.row(table, row, [("ratio", rounds.ratio(of, to)), ("ns", ns), ("more ns", ns - to_ns)]);
    }
}

const NAMES: [&str; 13] = [
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
    "map-err",
    "creation",
];
const HEADERS: u32 = 8;
const TOKEN: usize = 800;
const CALLS: usize = 200;
const ROUNDS: u32 = 2_001;

//! The cost of a request that finds a token: time, ratio to one static header, allocations.

use std::{
    hint::black_box,
    mem,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use http::{HeaderMap, Request};
use tokio::{runtime::Builder, task::unconstrained};
use tower::ServiceExt;
use tower_outbound_auth::BoxError;

use crate::{
    allocations,
    api::{Body, Client, request},
    peers::{cf_gears, gcp, google, hand_written, huskarl, kube, middle, prototype, smithy, static_header, this_crate},
    support::{Report, Rounds},
    world::World,
};

pub(crate) fn run(report: &mut Report) -> Result<(), BoxError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let world = World::new()?;
    let mut variants = runtime.block_on(async {
        Ok::<_, BoxError>([
            variant("static header (tower-http)", Ok(static_header::client())).await?,
            variant("this crate; NoReplay", this_crate::no_replay(&world)).await?,
            variant("this crate; CloneBody (default)", this_crate::client(&world)).await?,
            variant("prototype: ArcSwap and coarse clock", Ok(prototype::client(&world))).await?,
            variant("middle", middle::client(&world).await).await?,
            variant("hand-written RwLock", Ok(hand_written::client(&world))).await?,
            variant("kube-client AuthLayer", kube::client(&world)).await?,
            variant("google-cloud-auth headers()", google::client(&world)).await?,
            variant("gcp_auth", gcp::client(&world)).await?,
            variant("aws-smithy identity cache", smithy::client(&world)).await?,
            variant("huskarl authorizer", huskarl::client(&world)).await?,
            variant("cf-gears bearer layer", cf_gears::plain(&world)).await?,
            variant("cf-gears auto-refresh layer", cf_gears::auto_refresh(&world)).await?,
        ])
    })?;
    let rounds = Rounds::run(ROUNDS, variants.each_mut().map(|variant| &mut *variant.time as &mut dyn FnMut() -> f64));
    for (number, variant) in variants.iter().enumerate() {
        let (ns, ratio) = (rounds.median(number), rounds.ratio(number, 0));
        report.row("warm", variant.name, [("ratio", ratio), ("ns", ns), ("allocations", variant.allocations)]);
    }
    Ok(())
}

struct Variant {
    name: &'static str,
    allocations: f64,
    time: Box<dyn FnMut() -> f64>,
}

/// Creates a variant of a client that has its token.
async fn variant<C: Client>(name: &'static str, client: Result<C, BoxError>) -> Result<Variant, BoxError> {
    let (mut client, request) = (client?, request());
    client.clone().oneshot(request.clone()).await.map_err(Into::into)?;
    // Unconstrained, as tokio's cooperative budget would make its locks return `Pending` now and then.
    let allocations = unconstrained(async { allocations(&mut client, &request) }).await;
    let allocations = allocations.ok_or_else(|| format!("{name} has no token"))?;
    Ok(Variant { name, allocations, time: Box::new(move || time(&mut client, &request)) })
}

/// Returns the nanoseconds of one call, dropping the request included.
fn time(client: &mut impl Client, request: &Request<Body>) -> f64 {
    let copies: Vec<_> = (0..CALLS).map(|_| copy(request)).collect();
    let start = Instant::now();
    for request in copies {
        call(client, request);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// Returns the allocations of a call, without those of creating the request; `None` if a response was not there at once.
#[expect(clippy::cast_precision_loss, reason = "a small count")]
fn allocations(client: &mut impl Client, request: &Request<Body>) -> Option<f64> {
    let (copies, mut all) = ([(); 100].map(|()| copy(request)), true);
    let count = allocations::count(|| {
        for request in copies {
            all &= call(client, request);
        }
    });
    all.then_some(count as f64 / 100.0)
}

/// Copies a request with room for one more header, as a request that was not cloned has it.
fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = request.clone();
    let headers = mem::replace(copy.headers_mut(), HeaderMap::with_capacity(9));
    copy.headers_mut().extend(headers);
    copy
}

/// Makes a call. Returns whether the response was there at once, as it is with a token.
#[inline]
fn call(client: &mut impl Client, request: Request<Body>) -> bool {
    let mut response = pin!(client.call(request));
    match response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => black_box(response).is_ok(),
        Poll::Pending => false,
    }
}

const CALLS: u32 = 1_000;
const ROUNDS: u32 = 301;

//! A thousand requests a second while short-lived tokens expire: latencies and failures.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{interval, timeout},
};
use tower::ServiceExt;
use tower_outbound_auth::BoxError;

use crate::{
    api::request,
    peers::{KUBE, Peer, WITH_EXPIRY},
    support::{Report, quantile},
    world::World,
};

/// Runs with tokens of two seconds, and for peers with a fixed margin also with tokens of the margin and two seconds.
pub(crate) fn run(report: &mut Report) -> Result<(), BoxError> {
    for peer in WITH_EXPIRY.into_iter().chain([KUBE]) {
        let row = format!("{}; {LIFETIME} s", peer.name);
        one_row(report, peer, &row, LIFETIME)?;
        if let Some(margin) = peer.fixed_margin {
            let seconds = margin + LIFETIME;
            one_row(report, peer, &format!("{}; {seconds} s", peer.name), seconds)?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts")]
fn one_row(report: &mut Report, peer: Peer, row: &str, seconds: u64) -> Result<(), BoxError> {
    let mut tries = 1;
    let (latencies, late, token_requests) = loop {
        let (world, runtime) = (World::short(seconds, MARGIN)?, Builder::new_current_thread().enable_all().build()?);
        let outcome = runtime.block_on(paced(peer, &world));
        runtime.shutdown_background();
        let (latencies, late) = outcome?;
        if late < STANDSTILL || tries == 3 {
            break (latencies, late, world.issuer.asked());
        }
        tries += 1;
    };
    let at = |fraction| quantile(latencies.iter().copied(), fraction);
    report.row(
        "expiry",
        row,
        [
            ("p50 ms", at(0.5)),
            ("p99 ms", at(0.99)),
            ("p99.9 ms", at(0.999)),
            ("max ms", at(1.0)),
            ("failed", (REQUESTS - latencies.len()) as f64),
            ("token requests", token_requests as f64),
            ("latest start ms", late.as_secs_f64() * 1e3),
        ],
    );
    Ok(())
}

/// Returns the milliseconds of each request with a 200, and the latest start. Requests start on time regardless of earlier
/// ones, if the thread is free.
async fn paced(peer: Peer, world: &World) -> Result<(Vec<f64>, Duration), BoxError> {
    let client = (peer.make)(world).await?;
    // Fetching the first token is not measured.
    let _ = timeout(PATIENCE, client.clone().oneshot(request())).await;
    let (mut requests, latencies) = (JoinSet::new(), Arc::new(Mutex::new(Vec::with_capacity(REQUESTS))));
    let (mut ticks, mut late) = (interval(Duration::from_millis(1)), Duration::ZERO);
    for _ in 0..REQUESTS {
        late = late.max(ticks.tick().await.elapsed());
        let (client, latencies, start) = (client.clone(), Arc::clone(&latencies), Instant::now());
        requests.spawn(async move {
            if client.oneshot(request()).await.is_ok_and(|response| response.status().is_success()) {
                let latency = start.elapsed().as_secs_f64() * 1e3;
                latencies.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
            }
        });
    }
    let _ = timeout(PATIENCE, async { while requests.join_next().await.is_some() {} }).await;
    requests.abort_all();
    let latencies = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((latencies, late))
}

const LIFETIME: u64 = 2;
const MARGIN: Duration = Duration::from_millis(500);
const REQUESTS: usize = 5_000;
/// A thread that is this late had no processor: try again.
const STANDSTILL: Duration = Duration::from_millis(200);
/// A request without a response by then has failed.
const PATIENCE: Duration = Duration::from_secs(2);

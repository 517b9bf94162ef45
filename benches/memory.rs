//! The allocations of a request that finds a token, and the memory of a waiting request and of an idle layer.
//!
//! `cargo bench --bench memory`. An allocator counts, so the results are the same on any machine.

mod support;

use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Waker},
    time::Duration,
};

use allocation_counter::{AllocationInfo, measure};
use http::Request;
use support::{
    Report,
    stand_ins::{Api, Body, ORIGIN, access_token, bearer, call, fresh, instant_source, request, signed, static_header},
};
use tokio::{runtime::Builder, time::advance};
use tower::{Layer, Service};
use tower_outbound_auth::{
    AuthLayer, AuthLayerBuilder, BoxError,
    replay::{CloneBody, NoReplay},
    token::source_fn,
};

fn waiting(report: &mut Report) -> Result<(), BoxError> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let _inside = runtime.enter();
    for (name, max_wait) in [("no max_wait", None), ("a max_wait", Some(Duration::from_secs(5)))] {
        for callers in [1, 100, 10_000, 50_000] {
            let source = source_fn(|_| pending());
            let builder = max_wait.into_iter().fold(AuthLayer::builder(source), AuthLayerBuilder::max_wait);
            let mut client = builder.origin(ORIGIN).build()?.layer(Api);
            let mut waiting = Vec::with_capacity(callers as usize + 1);
            let mut wait = |callers: u32| {
                for _ in 0..callers {
                    let mut response = Box::pin(client.call(request(0)));
                    let _ = response.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    waiting.push(response);
                }
            };
            wait(1); // starts the fetch
            let held = per(&measure(|| wait(callers)), callers).1;
            let over = held - f64::from(u32::try_from(size_of::<Request<Body>>())?);
            report.row("waiting requests", format!("{callers} with {name}"), [("bytes over the request", over)]);
        }
    }
    Ok(())
}

fn layers(report: &mut Report) -> Result<(), BoxError> {
    for layers in [1, 10, 100, 1_000] {
        let mut made = Vec::with_capacity(layers as usize);
        let build = |_| AuthLayer::builder(instant_source(TOKEN)).origin(ORIGIN).build();
        let cold = measure(|| made.extend((0..layers).map(build)));
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let warm = measure(|| made.iter().flatten().for_each(|layer| drop(runtime.block_on(layer.handle().token()))));
        let (blocks, bytes) = per(&cold, layers);
        let (more_blocks, more_bytes) = per(&warm, layers);
        report.row(
            "bytes of a layer",
            format!("of {layers}"),
            [
                ("cold", bytes),
                ("blocks", blocks),
                ("with a token", bytes + more_bytes),
                ("blocks then", blocks + more_blocks),
            ],
        );
    }
    Ok(())
}

fn idle(report: &mut Report) -> Result<(), BoxError> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let fetches = Arc::<AtomicU32>::default();
    let mut made = Vec::new();
    for _ in 0..1_000 {
        let fetches = Arc::clone(&fetches);
        let source = source_fn(move |_| {
            fetches.fetch_add(1, Relaxed);
            ready(access_token(TOKEN))
        });
        let layer = AuthLayer::builder(source).origin(ORIGIN).build()?;
        runtime.block_on(layer.handle().token())?;
        made.push(layer);
    }
    let first = fetches.load(Relaxed);
    let day = measure(|| runtime.block_on(advance(Duration::from_secs(24 * 60 * 60))));
    report.row(
        "1000 idle layers",
        "in a day",
        [
            ("tasks", f64::from(u32::try_from(runtime.metrics().num_alive_tasks())?)),
            ("token requests", f64::from(fetches.load(Relaxed) - first)),
            ("allocations", f64::from(u32::try_from(day.count_total)?)),
        ],
    );
    Ok(())
}

fn requests(report: &mut Report) -> Result<(), BoxError> {
    let mut header = static_header(TOKEN).layer(Api);
    let mut no_replay = bearer(TOKEN, NoReplay)?.layer(Api);
    let mut clone_body = bearer(TOKEN, CloneBody)?.layer(Api);
    let mut signed = signed(TOKEN, NoReplay)?.layer(Api);
    for headers in [0, 1, 2, 4, 8, 16, 32, 64] {
        let request = request(headers);
        report.row(
            "allocations of a request",
            format!("{headers} headers"),
            [
                ("static", allocations(&mut header, &request)),
                ("bearer", allocations(&mut no_replay, &request)),
                ("bearer and CloneBody", allocations(&mut clone_body, &request)),
                ("bearer and signature", allocations(&mut signed, &request)),
            ],
        );
    }
    Ok(())
}

/// Returns the allocations of one call among many: a signature is made once a second.
fn allocations<S: Service<Request<Body>>>(service: &mut S, request: &Request<Body>) -> f64 {
    let counts = (0..101).map(|_| {
        let request = fresh(request);
        u32::try_from(measure(|| call(service, request)).count_total).map_or(f64::NAN, f64::from)
    });
    support::median(counts)
}

/// Returns the blocks and bytes that are still held, divided by this number.
fn per(held: &AllocationInfo, number: u32) -> (f64, f64) {
    let each = |held| i32::try_from(held).map_or(f64::NAN, f64::from) / f64::from(number);
    (each(held.count_current), each(held.bytes_current))
}

fn main() -> Result<(), BoxError> {
    let mut report = Report::new("memory");
    requests(&mut report)?;
    waiting(&mut report)?;
    layers(&mut report)?;
    idle(&mut report)?;
    report.finish()?;
    Ok(())
}

const TOKEN: usize = 800;

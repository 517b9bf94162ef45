//! How the throughput of requests that find a token grows with the number of threads.
//!
//! `cargo bench --bench scaling`. Each thread has a clone of one service and creates its requests, with 8 headers each. All
//! variants and numbers of threads take turns within each round; the figures are medians. On some machines two threads do
//! less than twice as much as one: the bare service shows how much. More threads than cores show only whether throughput
//! collapses.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

use std::{
    sync::{
        Barrier, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use http::Request;
use support::{
    Report, Rounds,
    stand_ins::{Api, Body, bearer, call, fresh, request, signed, static_header},
};
use tower::{Layer, Service};
use tower_outbound_auth::{BoxError, replay::NoReplay};

/// Returns millions of calls a second.
fn throughput<S>(threads: u32, service: &S, calls: fn(&mut S, &Request<Body>)) -> f64
where
    S: Service<Request<Body>> + Clone + Send,
{
    let (start, begin) = (Barrier::new(threads as usize), OnceLock::new());
    let done = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            let service = service.clone();
            scope.spawn(|| {
                let (mut service, request, mut count) = (service, request(HEADERS), 0);
                start.wait();
                let end = *begin.get_or_init(Instant::now) + PERIOD;
                while Instant::now() < end {
                    calls(&mut service, &request);
                    count += CALLS;
                }
                done.fetch_add(count, Relaxed);
            });
        }
    });
    f64::from(done.into_inner()) / PERIOD.as_secs_f64() / 1e6
}

/// Like a client that belongs to one task.
fn shared<S: Service<Request<Body>>>(service: &mut S, request: &Request<Body>) {
    for _ in 0..CALLS {
        call(service, fresh(request));
    }
}

/// Like `ServiceExt::oneshot`, which consumes the service.
fn cloned<S: Service<Request<Body>> + Clone>(service: &mut S, request: &Request<Body>) {
    for _ in 0..CALLS {
        call(&mut service.clone(), fresh(request));
    }
}

/// The throughput with each of these numbers of threads, in each round.
type Table = Vec<[f64; THREADS.len()]>;

fn main() -> Result<(), BoxError> {
    let (bare, header) = (Api, static_header(TOKEN).layer(Api));
    let (bearer, signed) = (bearer(TOKEN, NoReplay)?.layer(Api), signed(TOKEN, NoReplay)?.layer(Api));
    let variants: [(&str, &dyn Fn(u32) -> f64); 6] = [
        ("the bare service", &|threads| throughput(threads, &bare, shared)),
        ("a static header", &|threads| throughput(threads, &header, shared)),
        ("bearer", &|threads| throughput(threads, &bearer, shared)),
        ("bearer and signature", &|threads| throughput(threads, &signed, shared)),
        ("a static header; a clone for each call", &|threads| throughput(threads, &header, cloned)),
        ("bearer; a clone for each call", &|threads| throughput(threads, &bearer, cloned)),
    ];
    let mut tables = variants.map(|_| Table::new());
    for _ in 0..ROUNDS {
        for ((_, variant), table) in variants.iter().zip(&mut tables) {
            table.push(THREADS.map(variant));
        }
    }
    let mut report = Report::new("scaling");
    for ((name, _), table) in variants.iter().zip(tables) {
        let rounds = Rounds::new(table);
        report.row(
            "threads",
            name,
            [
                ("1: million/s", rounds.median(0)),
                ("2: million/s", rounds.median(1)),
                ("2 ÷ 1", rounds.ratio(1, 0)),
                ("4 ÷ 1", rounds.ratio(2, 0)),
                ("8 ÷ 1", rounds.ratio(3, 0)),
            ],
        );
    }
    report.finish()?;
    Ok(())
}

const HEADERS: u32 = 8;
const TOKEN: usize = 800;
const THREADS: [u32; 4] = [1, 2, 4, 8];
const PERIOD: Duration = Duration::from_millis(20);
const CALLS: u32 = 50;
const ROUNDS: u32 = 51;

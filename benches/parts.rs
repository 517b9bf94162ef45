//! What the parts of a warm request cost, each alone: where the time goes that the layer takes.
//!
//! `cargo bench --bench parts`. Alone a part costs more than within a request, where a processor does several at once.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use http::{HeaderValue, header::AUTHORIZATION};
use support::{
    Report, Rounds,
    stand_ins::{fresh, request},
};
use tower_outbound_auth::{AccessToken, BoxError};

fn time(mut part: impl FnMut() + 'static) -> Box<dyn FnMut() -> f64> {
    Box::new(move || {
        let start = Instant::now();
        (0..CALLS).for_each(|_| part());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    })
}

#[cfg(target_os = "linux")]
fn clock() {
    black_box(rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse));
}

#[cfg(not(target_os = "linux"))]
fn clock() {
    black_box(Instant::now());
}

fn main() -> Result<(), BoxError> {
    let current = ArcSwapOption::from_pointee(7_u64);
    let (shared, token) = (Arc::new(7_u64), AccessToken::new("t".repeat(800), Some(Duration::from_secs(3600)))?);
    let [searched, made, plain] = [(); 3].map(|()| request(8));
    let value = HeaderValue::from_static("Bearer t");
    let rounds = Rounds::run(
        1_001,
        [
            time(|| _ = black_box(0)),
            time(clock),
            time(move || drop(black_box(current.load()))),
            time(move || drop(black_box(Arc::clone(&shared)))),
            time(move || drop(black_box(token.clone()))),
            time(move || _ = black_box(black_box(&searched).headers().contains_key(AUTHORIZATION))),
            time(move || {
                let mut request = fresh(&made);
                request.headers_mut().insert(AUTHORIZATION, value.clone());
                drop(black_box(request));
            }),
            time(move || drop(black_box(fresh(&plain)))),
        ],
    );
    let mut report = Report::new("parts");
    let nothing = rounds.median(0);
    for (part, number) in [
        ("a read of the coarse clock", 1),
        ("a load from an ArcSwap", 2),
        ("a reference and its end", 3),
        ("an access token's clone and its end", 4),
        ("a search for Authorization among 8 headers", 5),
    ] {
        report.row("parts", part, [("ns", rounds.median(number) - nothing)]);
    }
    report.row("parts", "the insertion of a header", [("ns", rounds.median(6) - rounds.median(7))]);
    report.row("parts", "a request with 8 headers", [("ns", rounds.median(7) - nothing)]);
    report.finish()?;
    Ok(())
}

const CALLS: u32 = 1_000;

//! The parts of a request that finds a token, each alone.
//!
//! `cargo bench --bench parts`. A part costs more alone than within a request, where a processor executes several at once.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Instant, SystemTime},
};

use arc_swap::ArcSwapOption;
use http::{HeaderValue, header::AUTHORIZATION};
use support::{
    Report, Rounds,
    stand_ins::{access_token, fresh, request},
};
use tower_outbound_auth::BoxError;

fn time(mut part: impl FnMut() + 'static) -> Box<dyn FnMut() -> f64> {
    Box::new(move || {
        let start = Instant::now();
        (0..CALLS).for_each(|_| part());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    })
}

fn main() -> Result<(), BoxError> {
    let current = ArcSwapOption::from_pointee(7_u64);
    let (shared, token) = (Arc::new(7_u64), access_token(800)?);
    let [searched, inserted, plain] = [(); 3].map(|()| request(8));
    let value = HeaderValue::from_static("Bearer t");
    let rounds = Rounds::run(
        1_001,
        [
            time(|| _ = black_box(0)),
            time(|| _ = black_box(tokio::time::Instant::now())),
            time(|| _ = black_box(SystemTime::now())),
            time(move || drop(black_box(current.load()))),
            time(move || drop(black_box(Arc::clone(&shared)))),
            time(move || drop(black_box(token.clone()))),
            time(move || _ = black_box(black_box(&searched).headers().contains_key(AUTHORIZATION))),
            time(move || {
                let mut request = fresh(&inserted);
                request.headers_mut().insert(AUTHORIZATION, value.clone());
                drop(black_box(request));
            }),
            time(move || drop(black_box(fresh(&plain)))),
        ],
    );
    let mut report = Report::new("parts");
    let nothing = rounds.median(0);
    for (part, number) in [
        ("a read of tokio's clock", 1),
        ("a read of the wall clock", 2),
        ("a load from an ArcSwap", 3),
        ("a clone of an Arc and its drop", 4),
        ("a clone of an access token and its drop", 5),
        ("a search for Authorization among 8 headers", 6),
    ] {
        report.row("parts", part, [("ns", rounds.median(number) - nothing)]);
    }
    report.row("parts", "an insertion of a header", [("ns", rounds.median(7) - rounds.median(8))]);
    report.row("parts", "a request with 8 headers", [("ns", rounds.median(8) - nothing)]);
    report.finish()?;
    Ok(())
}

const CALLS: u32 = 1_000;

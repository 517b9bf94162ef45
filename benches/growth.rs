//! How the cost of a request that finds a token grows with its headers, the token's length and the number of layers.
//!
//! `cargo bench --bench growth`. Nanoseconds of one call, and the ratio to a layer that inserts one prebuilt header, in the
//! same round. Dropping the request is included, creating it is not. All sizes and variants take turns within each round;
//! the figures are medians.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

use std::{iter::repeat_with, time::Instant};

use http::Request;
use support::{
    Report, Rounds,
    stand_ins::{Api, Body, bearer, call, fresh, request, signed, static_header},
};
use tower::{Layer, Service};
use tower_outbound_auth::{BoxError, replay::NoReplay};

/// One size: the same requests with a static header, with a token, and with token and signature.
struct Size<H, B> {
    request: Request<Body>,
    header: Vec<H>,
    bearer: Vec<B>,
    signed: Vec<B>,
    rounds: Vec<[f64; 3]>,
}

/// Returns a size with this many headers, bytes of token, and layers that take turns.
fn size(
    headers: u32,
    token: u32,
    layers: u32,
) -> Result<Size<impl Service<Request<Body>>, impl Service<Request<Body>>>, BoxError> {
    let token = usize::try_from(token)?;
    Ok(Size {
        request: request(headers),
        header: (0..layers).map(|_| static_header(token).layer(Api)).collect(),
        bearer: (0..layers).map(|_| Ok(bearer(token, NoReplay)?.layer(Api))).collect::<Result<_, BoxError>>()?,
        signed: (0..layers).map(|_| Ok(signed(token, NoReplay)?.layer(Api))).collect::<Result<_, BoxError>>()?,
        rounds: Vec::new(),
    })
}

impl<H: Service<Request<Body>>, B: Service<Request<Body>>> Size<H, B> {
    fn round(&mut self) {
        let header = time(&mut self.header, &self.request);
        let bearer = time(&mut self.bearer, &self.request);
        self.rounds.push([header, bearer, time(&mut self.signed, &self.request)]);
    }

    fn report(self, report: &mut Report, table: &str, row: u32) {
        let rounds = Rounds::new(self.rounds);
        report.row(
            table,
            row,
            [
                ("static ns", rounds.median(0)),
                ("bearer ns", rounds.median(1)),
                ("bearer ÷ static", rounds.ratio(1, 0)),
                ("signed ns", rounds.median(2)),
                ("signed ÷ static", rounds.ratio(2, 0)),
            ],
        );
    }
}

/// Returns the nanoseconds of one call; the services take turns.
fn time<S: Service<Request<Body>>>(services: &mut [S], request: &Request<Body>) -> f64 {
    let mut copies = repeat_with(|| fresh(request)).take(services.len().max(CALLS)).collect::<Vec<_>>().into_iter();
    let mut calls = 0;
    let start = Instant::now();
    while copies.len() > 0 {
        for (service, request) in services.iter_mut().zip(&mut copies) {
            call(service, request);
            calls += 1;
        }
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn main() -> Result<(), BoxError> {
    let mut sizes = Vec::new();
    for headers in [0, 1, 2, 4, 8, 16, 32, 64] {
        sizes.push(("headers in the request", headers, size(headers, TOKEN, 1)?));
    }
    for token in [100, 1024, 4 * 1024, 16 * 1024] {
        sizes.push(("bytes of token", token, size(HEADERS, token, 1)?));
    }
    for layers in [1, 10, 100, 1_000] {
        sizes.push(("layers that take turns", layers, size(HEADERS, TOKEN, layers)?));
    }
    for _ in 0..ROUNDS {
        for (_, _, size) in &mut sizes {
            size.round();
        }
    }
    let mut report = Report::new("growth");
    for (table, row, size) in sizes {
        size.report(&mut report, table, row);
    }
    report.finish()?;
    Ok(())
}

const HEADERS: u32 = 8;
const TOKEN: u32 = 800;
const CALLS: usize = 200;
const ROUNDS: u32 = 401;

//! A day of a large fleet, on a paused clock: token requests with a shared token, without one, and at the least.
//!
//! `cargo bench --bench fleet_day`. `FLEET_REPLICAS` sets how many, 10,000 by default; `FLEET_CHART=src/guide/fleet.svg` writes
//! the chart of the guide. Each replica is a layer that is kept warm. The authorization server's tokens live for an hour, and a
//! token request takes 200 ms. The server is down for 20 minutes from 06:00, the store for 30 minutes from 12:00, and from 18:00
//! the store does not answer for 10 minutes.

#![expect(clippy::disallowed_methods, reason = "tokio's clock is paused")]
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::{
    env,
    fmt::Write,
    fs,
    future::pending,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, ErrorKind,
    fleet::{Lookup, MemoryStore, SealedToken, SharedTokenSource, StoreFuture, TokenStore},
    token::{AccessToken, TokenSource, TokenState, source_fn},
};

const MINUTE: Duration = Duration::from_secs(60);
const LIFETIME: Duration = Duration::from_secs(3600);
const SERVER_IS_DOWN: Range<u64> = 360..380;
const STORE_IS_DOWN: Range<u64> = 720..750;
const STORE_HANGS: Range<u64> = 1080..1090;

/// The minutes of the day so far, and what happened in each hour.
#[derive(Clone)]
struct Day {
    start: Instant,
    hours: Arc<Mutex<[u64; 24]>>,
}

impl Day {
    fn new() -> Self {
        Self { start: Instant::now(), hours: Arc::default() }
    }

    fn minute(&self) -> u64 {
        self.start.elapsed().as_secs() / 60
    }

    fn count_request(&self) {
        let hour = usize::try_from(self.minute() / 60).unwrap();
        if let Some(count) = self.hours.lock().unwrap().get_mut(hour) {
            *count += 1;
        }
    }

    fn server(&self) -> impl TokenSource + use<> {
        let day = self.clone();
        source_fn(move |_| {
            let day = day.clone();
            async move {
                day.count_request();
                sleep(Duration::from_millis(200)).await;
                if SERVER_IS_DOWN.contains(&day.minute()) {
                    return Err(AuthError::new(ErrorKind::Unavailable, "the server is down"));
                }
                AccessToken::new("token", Some(LIFETIME)).map(|token| token.with_scope(fastrand::u64(..).to_string()))
            }
        })
    }
}

/// A store with outages.
#[derive(Clone)]
struct Store {
    day: Day,
    inner: MemoryStore,
}

impl Store {
    async fn step<T>(&self, step: StoreFuture<'_, T>) -> Result<T, BoxError> {
        sleep(Duration::from_millis(1)).await;
        match self.day.minute() {
            minute if STORE_IS_DOWN.contains(&minute) => Err("the store is down".into()),
            minute if STORE_HANGS.contains(&minute) => pending().await,
            _ => step.await,
        }
    }
}

impl TokenStore for Store {
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
        Box::pin(self.step(self.inner.read_or_lease(key, owner, lease)))
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.step(self.inner.renew(key, owner, lease)))
    }

    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
        Box::pin(self.step(self.inner.publish(key, owner, token)))
    }

    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.step(self.inner.retire(key, fingerprint, tombstone)))
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(self.step(self.inner.release(key, owner)))
    }
}

/// Token requests in each hour, and the greatest part of the replicas that had no usable token at the end of a ten minutes.
async fn day(replicas: u32, shared: bool) -> Result<([u64; 24], f64), BoxError> {
    let day = Day::new();
    let store = Store { day: day.clone(), inner: MemoryStore::new() };
    let mut handles = Vec::new();
    for _ in 0..replicas {
        let layer = if shared {
            let source =
                SharedTokenSource::builder(day.server(), store.clone()).sealing_key("key", None).identity("day");
            AuthLayer::builder(source.build()?)
        } else {
            AuthLayer::builder(day.server())
        };
        let handle = layer.origin("https://api.example.com").build()?.handle();
        let warm = handle.keep_warm();
        handles.push((handle, warm));
        // They start within a minute.
        sleep(MINUTE / replicas).await;
    }
    let mut worst = 0.0_f64;
    while day.minute() < 24 * 60 {
        sleep(10 * MINUTE).await;
        let is_without = |state| matches!(state, TokenState::Missing | TokenState::Expired);
        let without = handles.iter().filter(|(handle, _)| is_without(handle.status().state)).count();
        worst = worst.max(f64::from(u32::try_from(without)?) / f64::from(replicas));
    }
    let hours = *day.hours.lock().unwrap();
    Ok((hours, worst))
}

fn main() -> Result<(), BoxError> {
    let replicas = env::var("FLEET_REPLICAS").map_or(Ok(10_000), |number| number.parse())?;
    let run = |shared| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        runtime.block_on(day(replicas, shared))
    };
    let ((alone, alone_worst), (shared, shared_worst)) = (run(false)?, run(true)?);
    // A token is replaced at 65 % of its lifetime.
    let least = 24.0 * 3600.0 / (0.65 * LIFETIME.as_secs_f64());
    let total = |hours: [u64; 24]| hours.iter().sum::<u64>();
    println!("{replicas} replicas, a day, tokens of an hour");
    println!(
        "  each for itself: {} token requests; at worst {:.1} % without a token",
        total(alone),
        100.0 * alone_worst
    );
    println!(
        "  shared:          {} token requests; at worst {:.1} % without a token",
        total(shared),
        100.0 * shared_worst
    );
    println!("  at the least:    {least:.0}");
    println!("hour  each for itself  shared");
    for (hour, (alone, shared)) in alone.iter().zip(shared).enumerate() {
        println!("{hour:>4}  {alone:>15}  {shared:>6}");
    }
    if let Ok(path) = env::var("FLEET_CHART") {
        fs::write(path, chart(replicas, alone, shared)?)?;
    }
    Ok(())
}

/// Token requests in each hour, on a logarithmic scale.
fn chart(replicas: u32, alone: [u64; 24], shared: [u64; 24]) -> Result<String, BoxError> {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"320\" viewBox=\"0 0 760 320\" \
         style=\"max-width:100%;height:auto\" font-family=\"Helvetica, Arial, DejaVu Sans, sans-serif\" font-size=\"13\" \
         fill=\"#1f2328\" role=\"img\" aria-label=\"With a shared token one or two token requests an hour, but for outages; \
         without one, thousands.\">\n\
         <title>Token requests of {replicas} processes in each hour of a day</title>\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"759\" height=\"319\" rx=\"8\" fill=\"#ffffff\" stroke=\"#d1d9e0\"/>\n"
    );
    frame(&mut svg)?;
    let steps = |hours: [u64; 24]| {
        hours.iter().enumerate().fold(String::new(), |mut points, (hour, count)| {
            let _ = write!(points, "{:.0},{:.1} {:.0},{:.1} ", x(hour), y(*count), x(hour + 1), y(*count));
            points
        })
    };
    writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#cf222e\" stroke-width=\"2\"/>", steps(alone))?;
    writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#0969da\" stroke-width=\"2\"/>", steps(shared))?;
    let total = |hours: [u64; 24]| hours.iter().sum::<u64>();
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"300\" fill=\"#cf222e\">each for itself: {} token requests</text>",
        total(alone)
    )?;
    writeln!(svg, "<text x=\"420\" y=\"300\" fill=\"#0969da\">shared: {} token requests</text>", total(shared))?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// The outages and the axes.
fn frame(svg: &mut String) -> Result<(), BoxError> {
    for (range, label) in [(SERVER_IS_DOWN, "server down"), (STORE_IS_DOWN, "store down"), (STORE_HANGS, "store hangs")]
    {
        let [from, to] =
            [range.start, range.end].map(|minute| LEFT + 26.0 * f64::from(u32::try_from(minute).unwrap_or(0)) / 60.0);
        writeln!(svg, "<rect x=\"{from:.1}\" y=\"40\" width=\"{:.1}\" height=\"210\" fill=\"#fff8c5\"/>", to - from)?;
        writeln!(svg, "<text x=\"{from:.1}\" y=\"34\" fill=\"#9a6700\">{label}</text>")?;
    }
    for (count, label) in
        [(1, "1"), (10, "10"), (100, "100"), (1_000, "1,000"), (10_000, "10,000"), (100_000, "100,000")]
    {
        let at = y(count);
        writeln!(svg, "<line x1=\"{LEFT}\" x2=\"708\" y1=\"{at}\" y2=\"{at}\" stroke=\"#d1d9e0\"/>")?;
        writeln!(svg, "<text x=\"76\" y=\"{}\" text-anchor=\"end\" fill=\"#59636e\">{label}</text>", at + 4.0)?;
    }
    for hour in (0..=24).step_by(6) {
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"270\" text-anchor=\"middle\" fill=\"#59636e\">{hour:02}:00</text>",
            x(hour)
        )?;
    }
    Ok(())
}

fn x(hour: usize) -> f64 {
    LEFT + 26.0 * f64::from(u32::try_from(hour).unwrap_or(0))
}

fn y(count: u64) -> f64 {
    250.0 - 36.0 * f64::from(u32::try_from(count).unwrap_or(u32::MAX)).max(0.5).log10()
}

const LEFT: f64 = 84.0;

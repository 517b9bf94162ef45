//! The latency of requests while the token is replaced, with and without a new token.
//!
//! `cargo bench --bench rotation`. First requests in process, with a new token every 100 ms; then 1,000 requests a second over
//! HTTP/1.1 on this machine, and one new token from an endpoint that takes 50 ms. Periods with and without a new token take
//! turns; the figures are medians over them, the ratios are those of one round.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock, and runs in real time")]

mod support;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::Uri;
use support::{
    Report, Rounds, quantile,
    sockets::{Client, client, exchange, serve},
    stand_ins::{Api, ORIGIN, call, fresh, request},
};
use tokio::{
    runtime::Builder,
    task::{JoinSet, yield_now},
    time::{interval, sleep},
};
use tower::Layer;
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, BoxError, Credentials,
    oauth::ClientCredentialsGrant,
    replay::NoReplay,
    token::{AccessToken, FetchRequest, TokenSource},
};

/// Source with a new token for each generation. When the generation grows, the next request starts a refresh.
#[derive(Clone, Default)]
struct Renewing(Arc<AtomicU64>);

impl TokenSource for Renewing {
    fn fetch(&self, _: FetchRequest) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        let token = format!("{:0800}", self.generation());
        Box::pin(async { AccessToken::new(token, Some(Duration::from_secs(3600))) })
    }

    fn generation(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// For each round, three quantiles of a period without and of one with a new token; and the number of all tokens.
type Measured = (Vec<[[f64; 3]; 2]>, u64);

/// Sends requests for a while, and notes the nanoseconds of each.
async fn send(mut client: Auth<Api, NoReplay>, mut samples: Vec<u32>) -> Vec<u32> {
    let request = request(HEADERS);
    let end = Instant::now() + PERIOD;
    samples.clear();
    while Instant::now() < end {
        for _ in 0..64 {
            let request = fresh(&request);
            let start = Instant::now();
            call(&mut client, request);
            samples.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
        yield_now().await;
    }
    samples
}

/// Returns p50, p99 and p99.9 of a period with this many new tokens.
async fn period(client: &Auth<Api, NoReplay>, source: &Renewing, tokens: u32, room: &mut Vec<Vec<u32>>) -> [f64; 3] {
    let mut senders: JoinSet<_> = room.drain(..).map(|samples| send(client.clone(), samples)).collect();
    for _ in 0..tokens {
        sleep(PERIOD / tokens).await;
        source.0.fetch_add(1, Relaxed);
    }
    while let Some(samples) = senders.join_next().await {
        room.extend(samples);
    }
    let mut all: Vec<_> = room.iter().flatten().copied().collect();
    all.sort_unstable();
    let at = |per_mille: usize| all.get(all.len() * per_mille / 1_000).copied().map_or(f64::NAN, f64::from);
    [at(500), at(990), at(999)]
}

async fn in_process() -> Result<Measured, BoxError> {
    let source = Renewing::default();
    let layer = AuthLayer::builder(source.clone()).origin(ORIGIN).replay(NoReplay).build()?;
    layer.handle().token().await?;
    let client = layer.layer(Api);
    // Written once, so that no sample causes a page fault.
    let mut room = vec![vec![0; 4 << 20]; SENDERS];
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let without = period(&client, &source, 0, &mut room).await;
        rounds.push([without, period(&client, &source, TOKENS, &mut room).await]);
    }
    Ok((rounds, layer.handle().status().issued))
}

/// Sends 1,000 requests a second, each on time regardless of the others. Returns p50, p99 and maximum in microseconds.
async fn over_sockets(client: &Auth<Client>, uri: &Uri, midway: impl FnOnce()) -> Result<[f64; 3], BoxError> {
    let (mut midway, mut sent) = (Some(midway), JoinSet::new());
    let mut ticks = interval(Duration::from_millis(1));
    for number in 0..REQUESTS {
        ticks.tick().await;
        if number == REQUESTS / 2
            && let Some(midway) = midway.take()
        {
            midway();
        }
        let (client, uri) = (client.clone(), uri.clone());
        sent.spawn(async move {
            let start = Instant::now();
            exchange(client, uri).await.map(|()| start.elapsed().as_secs_f64() * 1e6)
        });
    }
    let samples = sent.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok([0.5, 0.99, 1.0].map(|fraction| quantile(samples.iter().copied(), fraction)))
}

async fn one_refresh() -> Result<Measured, BoxError> {
    let address = serve()?;
    let credentials = Credentials::new("my-client", "my-secret");
    let grant = ClientCredentialsGrant::builder(&format!("http://{address}/token"), credentials.clone())
        .transport(client(false))
        .build()?;
    let layer = AuthLayer::builder(grant).origin(&format!("http://{address}")).build()?;
    layer.handle().token().await?;
    let (client, uri) = (layer.layer(client(false)), format!("http://{address}/reports").parse()?);
    let mut rounds = Vec::new();
    for round in 0..ROUNDS_OVER_SOCKETS {
        let without = over_sockets(&client, &uri, || ()).await?;
        rounds.push([without, over_sockets(&client, &uri, || credentials.rotate(format!("my-secret-{round}"))).await?]);
    }
    Ok((rounds, layer.handle().status().issued))
}

fn report(report: &mut Report, table: &str, (periods, tokens): Measured, rows: [&str; 3]) {
    let parts: [fn(&[f64; 3]) -> f64; 3] = [|[first, _, _]| *first, |[_, second, _]| *second, |[_, _, third]| *third];
    for (row, part) in rows.into_iter().zip(parts) {
        let rounds = Rounds::new(periods.iter().map(|period| period.each_ref().map(part)).collect());
        let columns = [("without", rounds.median(0)), ("with", rounds.median(1)), ("ratio", rounds.ratio(1, 0))];
        report.row(table, row, columns);
    }
    let [tokens, rounds] =
        [tokens.saturating_sub(1), periods.len() as u64].map(|n| u32::try_from(n).map_or(f64::NAN, f64::from));
    report.row(table, "new tokens in a period", [("with", tokens / rounds)]);
}

fn main() -> Result<(), BoxError> {
    let mut results = Report::new("rotation");
    let runtime = Builder::new_multi_thread().worker_threads(SENDERS).enable_all().build()?;
    let measured = runtime.block_on(in_process())?;
    report(&mut results, "a token every 100 ms", measured, ["p50 ns", "p99 ns", "p99.9 ns"]);

    let runtime = Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(one_refresh())?;
    report(&mut results, "one refresh at 1000/s", measured, ["p50 µs", "p99 µs", "slowest µs"]);
    results.finish()?;
    Ok(())
}

const HEADERS: u32 = 8;
const SENDERS: usize = 2;
const PERIOD: Duration = Duration::from_millis(500);
const TOKENS: u32 = 5;
const ROUNDS: u32 = 21;
const REQUESTS: u32 = 400;
const ROUNDS_OVER_SOCKETS: u32 = 31;

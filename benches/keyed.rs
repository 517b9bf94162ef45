//! What a look-up by key adds to a request that finds a token, and what an entry costs.
//!
//! `cargo bench --bench keyed`. One plain layer, as many plain layers as there are keys, without a look-up, and the keyed layer
//! take turns within each round: what more layers cost, as they spread over the processor's caches, and what the look-up
//! costs. The figures are those of the fastest rounds, which other work on the machine disturbs least.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]
#![expect(clippy::cast_precision_loss, reason = "a count of calls")]

mod support;

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use allocation_counter::measure;
use http::Request;
use support::{
    Report, Rounds,
    stand_ins::{Api, Body, ORIGIN, access_token, bearer, call, fresh, instant_source, request},
};
use tokio::{runtime::Builder, task::JoinSet, time::sleep};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{AuthError, AuthLayer, BoxError, keyed::KeyedAuthLayer, replay::NoReplay, token::source_fn};

#[derive(Clone, PartialEq, Eq, Hash)]
struct Tenant(Arc<str>);

fn tenant(number: u32) -> Tenant {
    Tenant(format!("merchant-{number:06}").into())
}

type Keyed = KeyedAuthLayer<Tenant, NoReplay>;

fn make(_: &Tenant) -> Result<AuthLayer<NoReplay>, AuthError> {
    AuthLayer::builder(instant_source(TOKEN)).origin(ORIGIN).replay(NoReplay).build()
}

/// Returns a layer with room for these keys and some more, all of which have a token.
fn warm(keys: u32) -> Result<Keyed, BoxError> {
    let keyed = KeyedAuthLayer::builder(make).capacity((keys as usize * 5 / 4).max(1_000)).build();
    let runtime = Builder::new_current_thread().enable_time().build()?;
    for number in 0..keys {
        runtime.block_on(keyed.handle(&tenant(number))?.token())?;
    }
    Ok(keyed)
}

#[derive(Clone, Copy)]
enum Choice {
    Uniform,
    /// Key n is used in proportion to 1 ÷ n.
    Zipf,
}

/// The numbers of keys that are chosen so, in a random order.
fn choices(keys: u32, choice: Choice, seed: u64) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let weight = |n: u32| if let Choice::Zipf = choice { 1.0 / f64::from(n) } else { 1.0 };
    let sums: Vec<f64> = (1..=keys).scan(0.0, |sum, n| Some(*sum + weight(n)).inspect(|new| *sum = *new)).collect();
    let total = sums.last().copied().unwrap_or(0.0);
    let mut choose = || {
        let at = random.f64() * total;
        u32::try_from(sums.partition_point(|sum| *sum < at)).unwrap_or(0).min(keys - 1)
    };
    (0..CHOICES).map(|_| choose()).collect()
}

/// Nanoseconds of a call, by this many threads that each have their own services and choices. All requests have a key.
fn nanos<S>(threads: u32, tenants: &[Tenant], choices: &[Vec<u32>], services: &[S]) -> f64
where
    S: Service<Request<Body>> + Clone + Send + Sync,
{
    let (start, calls) = (Barrier::new(threads as usize), AtomicU32::new(0));
    thread::scope(|scope| {
        for choices in choices.iter().take(threads as usize) {
            let (start, calls, mut services) = (&start, &calls, services.to_vec());
            scope.spawn(move || {
                let (like, mut choices, count) = (request(HEADERS), choices.iter().cycle(), services.len());
                start.wait();
                let end = Instant::now() + PERIOD;
                while Instant::now() < end {
                    for choice in choices.by_ref().take(CALLS) {
                        let mut request = fresh(&like);
                        if let Some(tenant) = tenants.get(*choice as usize) {
                            request.extensions_mut().insert(tenant.clone());
                        }
                        if let Some(service) = services.get_mut(*choice as usize % count) {
                            call(service, request);
                        }
                    }
                    calls.fetch_add(50, Relaxed);
                }
            });
        }
    });
    PERIOD.as_secs_f64() * 1e9 / f64::from(calls.into_inner())
}

fn warm_calls(report: &mut Report) -> Result<(), BoxError> {
    let plain = [bearer(TOKEN, NoReplay)?.layer(Api)];
    for (name, choice) in [("uniform", Choice::Uniform), ("Zipf", Choice::Zipf)] {
        for keys in [1, 100, 1_000, 10_000] {
            let keyed = [warm(keys)?.layer(Api)];
            let as_many: Vec<_> =
                (0..keys).map(|_| Ok(bearer(TOKEN, NoReplay)?.layer(Api))).collect::<Result<_, BoxError>>()?;
            let tenants: Vec<_> = (0..keys).map(tenant).collect();
            let choices: Vec<_> = (0..2).map(|seed| choices(keys, choice, seed)).collect();
            for threads in [1, 2] {
                let variants: [Box<dyn FnMut() -> f64>; 3] = [
                    Box::new(|| nanos(threads, &tenants, &choices, &plain)),
                    Box::new(|| nanos(threads, &tenants, &choices, &as_many)),
                    Box::new(|| nanos(threads, &tenants, &choices, &keyed)),
                ];
                let rounds = Rounds::run(ROUNDS, variants);
                let [one, many, keyed] = [0, 1, 2].map(|variant| rounds.quantile(variant, 0.02));
                report.row(
                    "a warm call",
                    format!("{keys} keys; {name}; {threads} threads"),
                    [
                        ("÷ one plain layer", keyed / one),
                        ("÷ as many plain layers", keyed / many),
                        ("one ns", one),
                        ("as many ns", many),
                        ("keyed ns", keyed),
                    ],
                );
            }
        }
    }
    Ok(())
}

/// Bytes of an entry beyond those of its layer.
fn memory(report: &mut Report) -> Result<(), BoxError> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    for keys in [100, 1_000, 10_000] {
        let tenants: Vec<_> = (0..keys).map(tenant).collect();
        let mut layers = Vec::with_capacity(tenants.len());
        let plain = measure(|| {
            for tenant in &tenants {
                let layer = make(tenant);
                drop(layer.as_ref().map(|layer| runtime.block_on(layer.handle().token())));
                layers.push(layer);
            }
        });
        let mut kept = None;
        let keyed = measure(|| {
            let keyed: Keyed = KeyedAuthLayer::builder(make).capacity(keys as usize).build();
            for tenant in &tenants {
                drop(keyed.handle(tenant).map(|handle| runtime.block_on(handle.token())));
            }
            kept = Some(keyed);
        });
        let each = |bytes: i64| bytes as f64 / f64::from(keys);
        report.row(
            "bytes of an entry",
            format!("{keys} keys"),
            [("with its layer", each(keyed.bytes_current)), ("a layer alone", each(plain.bytes_current))],
        );
        drop((layers, kept));
    }
    Ok(())
}

/// Ten requests of each of a thousand tenants, all at once.
async fn call_for_all<S>(client: &S) -> Result<(), BoxError>
where
    S: Service<Request<Body>, Error = BoxError, Future: Send, Response: Send> + Clone + Send + 'static,
{
    let mut calls = JoinSet::new();
    for number in 0..10_000 {
        let mut request = request(HEADERS);
        request.extensions_mut().insert(tenant(number % 1_000));
        calls.spawn(client.clone().oneshot(request));
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    Ok(())
}

/// A thousand tenants send their first request at once, and a token takes 10 ms.
fn cold(report: &mut Report) -> Result<(), BoxError> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    for (name, capacity) in [("room for all", 1_000), ("room for one in ten", 100)] {
        let (fetches, made) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (count, count_made) = (Arc::clone(&fetches), Arc::clone(&made));
        let keyed = KeyedAuthLayer::builder(move |_: &Tenant| {
            count_made.fetch_add(1, Relaxed);
            let count = Arc::clone(&count);
            let source = source_fn(move |_| {
                count.fetch_add(1, Relaxed);
                async {
                    sleep(Duration::from_millis(10)).await;
                    access_token(TOKEN)
                }
            });
            AuthLayer::builder(source).origin(ORIGIN).build()
        })
        .capacity(capacity)
        .build();
        let client = keyed.layer(Api);
        let begin = Instant::now();
        runtime.block_on(call_for_all(&client))?;
        report.row(
            "1000 tenants cold",
            name,
            [
                ("ms", begin.elapsed().as_secs_f64() * 1e3),
                ("token requests", f64::from(fetches.load(Relaxed))),
                ("entries made", f64::from(made.load(Relaxed))),
            ],
        );
    }
    Ok(())
}

/// What a new key costs when all places are taken: the least recently used entry is looked for.
fn evictions(report: &mut Report) -> Result<(), BoxError> {
    for capacity in [100, 1_000, 10_000] {
        let keyed: Keyed = KeyedAuthLayer::builder(make).capacity(capacity).build();
        let fill = u32::try_from(capacity)?;
        (0..fill).try_for_each(|number| keyed.handle(&tenant(number)).map(drop))?;
        let mut next = fill;
        let micros = (0..50).map(|_| {
            let begin = Instant::now();
            for _ in 0..20 {
                next += 1;
                let _ = keyed.handle(&tenant(next));
            }
            begin.elapsed().as_secs_f64() * 1e6 / 20.0
        });
        report.row("a new key", format!("{capacity} places taken"), [("µs", support::quantile(micros, 0.05))]);
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let mut report = Report::new("keyed");
    memory(&mut report)?;
    cold(&mut report)?;
    evictions(&mut report)?;
    warm_calls(&mut report)?;
    report.finish()?;
    Ok(())
}

const HEADERS: u32 = 8;
const TOKEN: usize = 800;
const CHOICES: usize = 16_384;
const PERIOD: Duration = Duration::from_millis(5);
const CALLS: usize = 50;
const ROUNDS: u32 = 101;

//! Many callers without a token: the time until all of them have continued, as a ratio to code written by hand.
//!
//! `cargo bench --bench herd`. In the first table all callers wait before the token is there. The time runs from the token to
//! the last caller: for callers that want the token, and for requests, which are then sent with it. In the second table the
//! token takes 50 ms, and the time runs from the first call to the last response. The variants take turns within each round,
//! so that a change of the machine's speed affects all of them; the figures are medians.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

mod support;

use std::{
    future::pending,
    hint::black_box,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, header::AUTHORIZATION};
use support::{
    Report, Rounds,
    stand_ins::{Api, ORIGIN, access_token, request, static_header},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{OnceCell, oneshot, watch},
    task::{JoinSet, yield_now},
    time::sleep,
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError,
    token::{TokenSource, source_fn},
};

/// Returns a source that has a token when the command is given.
fn source_on_command(command: watch::Receiver<bool>) -> impl TokenSource {
    source_fn(move |_| {
        let mut command = command.clone();
        async move {
            drop(command.wait_for(|given| *given).await);
            access_token(TOKEN)
        }
    })
}

/// Reports when the last of some callers continues.
struct Finish {
    left: AtomicU32,
    last: Mutex<Option<oneshot::Sender<Instant>>>,
}

impl Finish {
    fn of(callers: u32) -> (Arc<Self>, oneshot::Receiver<Instant>) {
        let (last, finished) = oneshot::channel();
        (Arc::new(Self { left: AtomicU32::new(callers), last: Mutex::new(Some(last)) }), finished)
    }

    fn pass(&self) {
        if self.left.fetch_sub(1, Relaxed) == 1
            && let Some(last) = self.last.lock().ok().and_then(|mut last| last.take())
        {
            let _ = last.send(Instant::now());
        }
    }
}

/// Returns the milliseconds from the command until the last of these callers continues. No task ends before that, so its
/// end is not measured.
async fn release<C>(command: watch::Sender<bool>, callers: u32, caller: impl Fn() -> C) -> f64
where
    C: Future<Output = ()> + Send + 'static,
{
    let (mut waiting, started) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
    let (finish, finished) = Finish::of(callers);
    for _ in 0..callers {
        let (caller, finish, started) = (caller(), Arc::clone(&finish), Arc::clone(&started));
        waiting.spawn(async move {
            started.fetch_add(1, Relaxed);
            caller.await;
            finish.pass();
            pending::<()>().await;
        });
    }
    // Until all callers have run, of which the runtime polls some dozens at a time; then the token fetch.
    while started.load(Relaxed) < callers {
        yield_now().await;
    }
    for _ in 0..3 {
        yield_now().await;
    }
    let start = Instant::now();
    command.send_replace(true);
    milliseconds(start, finished.await.ok())
}

fn milliseconds(start: Instant, end: Option<Instant>) -> f64 {
    end.map_or(f64::NAN, |end| end.duration_since(start).as_secs_f64() * 1e3)
}

async fn bare_watch(callers: u32) -> f64 {
    let (command, given) = watch::channel(false);
    let caller = || {
        let mut given = given.clone();
        async move {
            drop(given.wait_for(|given| *given).await);
        }
    };
    release(command, callers, caller).await
}

async fn requests_by_watch(callers: u32) -> f64 {
    let (command, given) = watch::channel(false);
    let client = static_header(TOKEN).layer(Api);
    let caller = || {
        let (mut given, client, request) = (given.clone(), client.clone(), request(0));
        async move {
            drop(given.wait_for(|given| *given).await);
            drop(black_box(client.oneshot(request).await));
        }
    };
    release(command, callers, caller).await
}

async fn tokens(callers: u32) -> Result<f64, AuthError> {
    let (command, given) = watch::channel(false);
    let handle = AuthLayer::builder(source_on_command(given)).origin(ORIGIN).build()?.handle();
    let caller = || {
        let handle = handle.clone();
        async move { drop(black_box(handle.token().await)) }
    };
    Ok(release(command, callers, caller).await)
}

async fn requests(callers: u32) -> Result<f64, AuthError> {
    let (command, given) = watch::channel(false);
    let client = AuthLayer::builder(source_on_command(given)).origin(ORIGIN).build()?.layer(Api);
    let caller = || {
        let response = client.clone().oneshot(request(0));
        async move { drop(black_box(response.await)) }
    };
    Ok(release(command, callers, caller).await)
}

/// Returns the milliseconds from the first of these calls until the last has its response.
async fn herd<C>(caller: impl Fn() -> C) -> f64
where
    C: Future<Output = ()> + Send + 'static,
{
    let (finish, finished) = Finish::of(HERD);
    let start = Instant::now();
    for _ in 0..HERD {
        let (caller, finish) = (caller(), Arc::clone(&finish));
        tokio::spawn(async move {
            caller.await;
            finish.pass();
        });
    }
    milliseconds(start, finished.await.ok())
}

/// The minimum: the first caller fetches, the others wait for it.
async fn herd_by_cell() -> f64 {
    let token = Arc::new(OnceCell::new());
    herd(|| {
        let (token, mut request) = (Arc::clone(&token), request(0));
        async move {
            let header: &HeaderValue = token.get_or_init(slow_header).await;
            request.headers_mut().insert(AUTHORIZATION, header.clone());
            drop(black_box(Api.oneshot(request).await));
        }
    })
    .await
}

/// A task fetches, and all callers wait for what it publishes.
async fn herd_by_watch() -> f64 {
    let (publish, token) = watch::channel(None);
    tokio::spawn(async move { publish.send_replace(Some(slow_header().await)) });
    herd(|| {
        let (mut token, mut request) = (token.clone(), request(0));
        async move {
            let header = token.wait_for(Option::is_some).await.ok().and_then(|header| header.clone());
            if let Some(header) = header {
                request.headers_mut().insert(AUTHORIZATION, header);
                drop(black_box(Api.oneshot(request).await));
            }
        }
    })
    .await
}

async fn herd_by_layer() -> Result<f64, AuthError> {
    let source = source_fn(|_| async {
        sleep(LATENCY).await;
        access_token(TOKEN)
    });
    let client = AuthLayer::builder(source).origin(ORIGIN).build()?.layer(Api);
    Ok(herd(|| {
        let response = client.clone().oneshot(request(0));
        async move { drop(black_box(response.await)) }
    })
    .await)
}

async fn slow_header() -> HeaderValue {
    sleep(LATENCY).await;
    let mut header =
        HeaderValue::try_from(format!("Bearer {}", "t".repeat(TOKEN))).unwrap_or(HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}

fn releases(runtime: &Runtime, report: &mut Report) -> Result<(), AuthError> {
    for callers in [1, 10, 100, 1_000, 10_000, 50_000] {
        let round = || {
            runtime.block_on(async {
                let by_watch = (bare_watch(callers).await, requests_by_watch(callers).await);
                Ok::<_, AuthError>([by_watch.0, by_watch.1, tokens(callers).await?, requests(callers).await?])
            })
        };
        let count = (100_000 / callers).clamp(15, 2_001);
        let rounds = Rounds::new((0..count).map(|_| round()).collect::<Result<_, _>>()?);
        report.row(
            "all wait and then a token",
            format!("{callers} callers"),
            [
                ("requests ms", rounds.median(3)),
                ("ns per caller", rounds.median(3) * 1e6 / f64::from(callers)),
                ("requests ÷ watch", rounds.ratio(3, 1)),
                ("tokens ÷ watch", rounds.ratio(2, 0)),
            ],
        );
    }
    Ok(())
}

fn herds(runtime: &Runtime, threads: u32, report: &mut Report) -> Result<(), AuthError> {
    let round = || {
        let [cell, watch] = [runtime.block_on(herd_by_cell()), runtime.block_on(herd_by_watch())];
        Ok([cell, watch, runtime.block_on(herd_by_layer())?])
    };
    let rounds = Rounds::new((0..HERDS).map(|_| round()).collect::<Result<_, AuthError>>()?);
    report.row(
        "a token that takes 50 ms",
        format!("{HERD} callers on threads: {threads}"),
        [("ms", rounds.median(2)), ("÷ OnceCell", rounds.ratio(2, 0)), ("÷ watch", rounds.ratio(2, 1))],
    );
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let mut report = Report::new("herd");
    let one = Builder::new_current_thread().enable_time().build()?;
    releases(&one, &mut report)?;
    herds(&one, 1, &mut report)?;
    herds(&Builder::new_multi_thread().worker_threads(2).enable_time().build()?, 2, &mut report)?;
    report.finish()?;
    Ok(())
}

const TOKEN: usize = 800;
const LATENCY: Duration = Duration::from_millis(50);
const HERD: u32 = 10_000;
const HERDS: u32 = 41;

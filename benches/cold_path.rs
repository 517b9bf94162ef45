//! What it takes to release everybody who waits for one token, as a ratio to a bare `tokio::sync::watch`: of callers who
//! want the token, and of requests, which put it into a header and go on.
//!
//! `cargo bench --bench cold_path`. Callers are tasks of one current-thread runtime, all parked before the token comes. The
//! variants take turns within each round, so that a machine whose speed drifts slows them all; the figures are medians.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads a precise clock")]

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    hint::black_box,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
    task::{JoinSet, yield_now},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::auth::AddAuthorizationLayer;
use tower_outbound_auth::{AccessToken, AuthError, AuthLayer, BoxError, FetchRequest, TokenSource};

type Body = Empty<Bytes>;

/// Gives its token when told so.
struct OnCommand(watch::Receiver<bool>);

impl TokenSource for OnCommand {
    fn fetch<'a>(
        &'a self,
        _request: FetchRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
        let mut command = self.0.clone();
        Box::pin(async move {
            drop(command.wait_for(|given| *given).await);
            AccessToken::new("t".repeat(800), Some(Duration::from_secs(3600)))
        })
    }
}

/// Milliseconds from the command until the last of these callers goes on. None of them ends before: to take down a task is
/// no part of it.
async fn release<C>(command: watch::Sender<bool>, callers: usize, caller: impl Fn() -> C) -> f64
where
    C: Future<Output = ()> + Send + 'static,
{
    let (mut waiting, left) = (JoinSet::new(), Arc::new(AtomicUsize::new(callers)));
    let (last, released) = oneshot::channel();
    let (last, parked) = (Arc::new(Mutex::new(Some(last))), Arc::new(AtomicUsize::new(0)));
    for _ in 0..callers {
        let (caller, left, last, parked) = (caller(), Arc::clone(&left), Arc::clone(&last), Arc::clone(&parked));
        waiting.spawn(async move {
            parked.fetch_add(1, Relaxed);
            caller.await;
            if left.fetch_sub(1, Relaxed) == 1
                && let Some(last) = last.lock().ok().and_then(|mut last| last.take())
            {
                let _ = last.send(Instant::now());
            }
            pending::<()>().await;
        });
    }
    // Until everybody has had a turn, which the runtime gives to some dozens at a time; then the flight.
    while parked.load(Relaxed) < callers {
        yield_now().await;
    }
    for _ in 0..3 {
        yield_now().await;
    }
    let start = Instant::now();
    command.send_replace(true);
    released.await.map_or(f64::NAN, |end| end.duration_since(start).as_secs_f64() * 1e3)
}

fn request() -> Request<Body> {
    let mut request = Request::new(Body::new());
    *request.uri_mut() = http::Uri::from_static("https://api.example.com/v1/reports/types?day=1");
    request
}

#[expect(clippy::needless_pass_by_value, reason = "a service takes its request")]
fn api(request: Request<Body>) -> Ready<Result<Response<Body>, Infallible>> {
    black_box(request.headers().len());
    ready(Ok(Response::new(Body::new())))
}

async fn bare_watch(callers: usize) -> f64 {
    let (command, given) = watch::channel(false);
    let caller = || {
        let mut given = given.clone();
        async move {
            drop(given.wait_for(|given| *given).await);
        }
    };
    release(command, callers, caller).await
}

async fn requests_by_watch(callers: usize) -> f64 {
    let (command, given) = watch::channel(false);
    let client = AddAuthorizationLayer::bearer(&"t".repeat(800)).as_sensitive(true).layer(service_fn(api));
    let caller = || {
        let (mut given, client, request) = (given.clone(), client.clone(), request());
        async move {
            drop(given.wait_for(|given| *given).await);
            drop(black_box(client.oneshot(request).await));
        }
    };
    release(command, callers, caller).await
}

async fn tokens(callers: usize) -> Result<f64, AuthError> {
    let (command, given) = watch::channel(false);
    let handle = AuthLayer::builder(OnCommand(given)).origin("https://api.example.com").build()?.handle();
    let caller = || {
        let handle = handle.clone();
        async move { drop(black_box(handle.token().await)) }
    };
    Ok(release(command, callers, caller).await)
}

async fn requests(callers: usize) -> Result<f64, AuthError> {
    let (command, given) = watch::channel(false);
    let client = AuthLayer::builder(OnCommand(given)).origin("https://api.example.com").build()?.layer(service_fn(api));
    let caller = || {
        let answer = client.clone().oneshot(request());
        async move { drop(black_box(answer.await)) }
    };
    Ok(release(command, callers, caller).await)
}

fn main() -> Result<(), BoxError> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    println!(
        "{:>8}  {:>10}  {:>14}  {:>19}  {:>19}",
        "callers", "watch", "tokens / watch", "requests", "requests / watch's"
    );
    for callers in [100, 1_000, 10_000, 50_000] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(runtime.block_on(async {
                let by_watch = [bare_watch(callers).await, requests_by_watch(callers).await];
                let by_layer = [tokens(callers).await?, requests(callers).await?];
                Ok::<_, AuthError>((by_watch, by_layer))
            })?);
        }
        let median = |figure: fn(&([f64; 2], [f64; 2])) -> f64| {
            let mut figures: Vec<_> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
        };
        println!(
            "{callers:>8}  {:>7.2} ms  {:>14.2}  {:>16.2} ms  {:>19.2}",
            median(|([watch, _], _)| *watch),
            median(|([watch, _], [tokens, _])| tokens / watch),
            median(|(_, [_, requests])| *requests),
            median(|([_, watch], [_, requests])| requests / watch),
        );
    }
    Ok(())
}

const ROUNDS: u32 = 21;

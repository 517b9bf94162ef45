//! What the layer does, counted at the server: a PayNet-compatible one on this machine, which takes half a minute.
//!
//! ```text
//! cargo run --features sandbox --example quickstart
//! ```
#![expect(clippy::disallowed_methods, reason = "a demonstration runs in real time")]

use std::{
    ops::RangeInclusive,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, AuthLayerBuilder, BoxError, RefreshPolicy,
    paynet::{self, RejectionLayer, Rejections},
    sandbox::{Fault, FaultKind, Sandbox, Stats},
};

#[tokio::main]
async fn main() -> ExitCode {
    match tour().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All steps; whether each of them was as its line says.
async fn tour() -> Result<bool, BoxError> {
    let user = User::of(Sandbox::start().await?, |auth| auth)?;
    let steps = [
        cold_start(&user).await,
        warm_calls(&user).await,
        kept(signed_list(&user).await),
        kept(one_time_file(&user).await),
        revocation(&user).await,
        wrong_clock(&user).await,
        kept(expiry().await),
        kept(outage().await),
    ];
    Ok(!steps.contains(&false))
}

/// A step that could not be finished is no reason to leave out the next.
fn kept(step: Result<bool, BoxError>) -> bool {
    step.unwrap_or_else(|error| {
        println!("FAILED  {error}");
        false
    })
}

/// Somebody who calls the API through the layer.
#[derive(Clone)]
struct User {
    sandbox: Arc<Sandbox>,
    client: Client,
}

/// The stack that a service of one's own would have.
type Client = Auth<Rejections<legacy::Client<HttpConnector, Full<Bytes>>>>;

impl User {
    fn of(sandbox: Sandbox, set: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder) -> Result<Self, AuthError> {
        // With PayNet itself: `Environment::production()` and `Credentials::from_env(..)`.
        let auth = paynet::auth(&sandbox.environment(), sandbox.credentials())?;
        // HTTP/2, so that a thousand calls at once share one connection. With PayNet: an HTTPS connector, as in `reports.rs`.
        let http = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let client = ServiceBuilder::new()
            .layer(set(auth).build()?) // outside: puts token and signature on each request
            .layer(RejectionLayer) // under it: reads the bodies in which PayNet says no
            .service(http);
        Ok(Self { sandbox: Arc::new(sandbox), client })
    }

    /// One call. No token, no timestamp, no signature in sight: that is the layer's work.
    async fn call(&self, request: Request<Full<Bytes>>) -> Result<Bytes, BoxError> {
        let response = self.client.clone().oneshot(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("the server answered {}", response.status()).into());
        }
        Ok(response.into_body().collect().await?.to_bytes())
    }

    async fn list(&self) -> Result<Bytes, BoxError> {
        self.call(Request::get(self.url("/v1/reports/types")).body(Full::default())?).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.environment().api_origin())
    }

    /// So many callers at once, each with so many calls in a row; how many calls failed.
    ///
    /// Before the call with the number `revoke_before`, the server revokes all tokens.
    async fn load(&self, callers: u64, calls: u64, revoke_before: Option<u64>) -> u64 {
        let number = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (user, number) = (self.clone(), Arc::clone(&number));
            tasks.spawn(async move {
                let mut failed = 0;
                for _ in 0..calls {
                    if revoke_before == Some(number.fetch_add(1, Relaxed)) {
                        user.sandbox.revoke_tokens();
                    }
                    failed += u64::from(user.list().await.is_err());
                }
                failed
            });
        }
        tasks.join_all().await.iter().sum()
    }
}

/// All of them wait for one token request.
async fn cold_start(user: &User) -> bool {
    // A slow answer, so that all of them find no token.
    user.sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_millis(500))));
    let failed = user.load(1_000, 1, None).await;
    let stats = user.sandbox.stats();
    line(
        "1,000 callers at once, and no token yet",
        &[fact("token requests", stats.token_requests, 1), fact("failed calls", failed, 0)],
    )
}

/// The token is at hand: one more header, and nothing to wait for.
async fn warm_calls(user: &User) -> bool {
    let before = user.sandbox.stats();
    let failed = user.load(100, 10, None).await;
    let after = user.sandbox.stats();
    line(
        "1,000 calls with the token",
        &[fact("token requests", after.token_requests - before.token_requests, 0), fact("failed calls", failed, 0)],
    )
}

/// PayNet wants a signature over the time on some paths; the layer knows which.
async fn signed_list(user: &User) -> Result<bool, BoxError> {
    let before = user.sandbox.stats();
    let list: Value = serde_json::from_slice(&user.list().await?)?;
    let kinds = list.pointer("/data").and_then(Value::as_array).map_or(0, |kinds| kinds.len() as u64);
    let after = user.sandbox.stats();
    Ok(line(
        "a signed request: the report list",
        &[fact("kinds listed", kinds, 2), fact("signatures refused", after.rejected - before.rejected, 0)],
    ))
}

/// Whoever makes the file may be on any host. What is meant for the API must not get there.
async fn one_time_file(user: &User) -> Result<bool, BoxError> {
    let order = json!({ "report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31" });
    let request = Request::post(user.url("/v1/reports/download")).header(CONTENT_TYPE, "application/json");
    let answer: Value = serde_json::from_slice(&user.call(request.body(Full::from(order.to_string()))?).await?)?;
    let url = answer.pointer("/data/url").and_then(Value::as_str).ok_or("no URL in the answer")?;
    // The same client. The URL is on another origin, so the layer sends the request as it is, and once.
    user.call(Request::get(url).body(Full::default())?).await?;
    let stats = user.sandbox.stats();
    Ok(line(
        "the report's one-time file, on another origin",
        &[fact("files", stats.downloads, 1), fact("credentials leaked", stats.credentials_leaked, 0)],
    ))
}

/// A refused call is sent again with a new token. The callers see none of it.
async fn revocation(user: &User) -> bool {
    let before = user.sandbox.stats();
    let failed = user.load(50, 20, Some(500)).await;
    let after = user.sandbox.stats();
    line(
        "the token is revoked in the middle of 1,000 calls",
        &[
            between("refused at first", after.rejected - before.rejected, 1..=50),
            fact("token requests", after.token_requests - before.token_requests, 1),
            fact("failed calls", failed, 0),
        ],
    )
}

/// A new token would be of no help here. The layer learns the server's time instead.
async fn wrong_clock(user: &User) -> bool {
    let before = user.sandbox.stats();
    user.sandbox.set_clock_offset(3600);
    let failed = user.load(10, 10, None).await;
    let after = user.sandbox.stats();
    line(
        "the two clocks are an hour apart",
        &[
            between("refused at first", after.rejected - before.rejected, 1..=10),
            fact("token requests", after.token_requests - before.token_requests, 0),
            fact("failed calls", failed, 0),
        ],
    )
}

/// A new token is fetched while the old one still serves.
async fn expiry() -> Result<bool, BoxError> {
    let sandbox = Sandbox::builder().token_lifetime(Duration::from_secs(2)).start().await?;
    let user = User::of(sandbox, |auth| auth)?;
    let failed = load_for(Duration::from_secs(5), &user).await;
    let Stats { token_requests, rejected, .. } = user.sandbox.stats();
    Ok(line(
        "5 s of calls with tokens of 2 s",
        &[
            between("token requests", token_requests, 3..=5),
            fact("tokens sent too late", rejected, 0),
            fact("failed calls", failed, 0),
        ],
    ))
}

/// An attempt at an early renewal may fail: the token at hand is good for a while.
async fn outage() -> Result<bool, BoxError> {
    // The token is renewed after 0.6 s instead of 45 s, so that nobody has to wait to see it fail.
    let sandbox = Sandbox::builder().token_lifetime(Duration::from_secs(60)).start().await?;
    let user = User::of(sandbox, |auth| auth.refresh(RefreshPolicy::default().refresh_at(0.01).jitter(0.0)))?;
    let failed_before = user.load(1, 1, None).await;
    user.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)).times(1_000));
    let failed = failed_before + load_for(Duration::from_secs(3), &user).await;
    let tried = user.sandbox.stats().token_requests - 1;
    Ok(line(
        "the token endpoint is down while the token lives",
        &[between("token requests in vain", tried, 1..=10), fact("failed calls", failed, 0)],
    ))
}

/// Calls for so long; how many failed.
async fn load_for(time: Duration, user: &User) -> u64 {
    let (end, mut failed) = (Instant::now() + time, 0);
    while Instant::now() < end {
        failed += user.load(10, 5, None).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    failed
}

/// A figure from the server's counters, and what the layer promises that it is.
struct Fact {
    name: &'static str,
    counted: u64,
    promised: RangeInclusive<u64>,
}

fn fact(name: &'static str, counted: u64, promised: u64) -> Fact {
    between(name, counted, promised..=promised)
}

fn between(name: &'static str, counted: u64, promised: RangeInclusive<u64>) -> Fact {
    Fact { name, counted, promised }
}

/// Prints one step; whether all its figures are as promised.
fn line(step: &str, facts: &[Fact]) -> bool {
    let kept = |fact: &Fact| fact.promised.contains(&fact.counted);
    let figures: Vec<_> = facts
        .iter()
        .map(|fact| {
            let Fact { name, counted, promised } = fact;
            let instead = if kept(fact) { String::new() } else { format!(" instead of {promised:?}") };
            format!("{name}: {counted}{instead}")
        })
        .collect();
    let all_kept = facts.iter().all(kept);
    let mark = if all_kept { "ok" } else { "FAILED" };
    println!("{mark:<6}  {step:<50}  {}", figures.join(", "));
    all_kept
}

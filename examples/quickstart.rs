//! Demonstration: what the layer does, counted at a PayNet-compatible server on your machine. Takes about ten seconds.
//!
//! ```text
//! cargo run --example quickstart --features sandbox
//! ```
//!
//! `paynet.rs` is the short program to copy.
#![expect(clippy::disallowed_methods, reason = "a demonstration runs in real time")]

mod support;

use std::{
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
use support::{conclude, figure, report};
use tokio::{task::JoinSet, time::Instant};
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, BoxError,
    paynet::{self, PayNetLayer, Rejections},
    sandbox::{Fault, FaultKind, Sandbox, Stats},
    token::RefreshPolicy,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = App::new(Sandbox::start().await?, RefreshPolicy::default())?;
    conclude(&[
        no_token_yet(&app).await,
        calls_with_a_token(&app).await,
        signed_request(&app).await?,
        one_time_file(&app).await?,
        revoked_token(&app).await,
        wrong_clock().await?,
        short_lived_tokens().await?,
        outage().await?,
    ])
}

/// An application that calls the API, and the server that counts its requests.
#[derive(Clone)]
struct App {
    sandbox: Arc<Sandbox>,
    client: Client,
}

type Client = Auth<Rejections<legacy::Client<HttpConnector, Full<Bytes>>>>;

impl App {
    fn new(sandbox: Sandbox, refresh: RefreshPolicy) -> Result<Self, AuthError> {
        // With PayNet: `paynet::layer(&Environment::production(), Credentials::from_env(..)?)?`.
        let auth = paynet::auth(&sandbox.environment(), sandbox.credentials())?.refresh(refresh).build()?;
        // HTTP/2, so that a thousand calls share one connection. With PayNet: `HttpsClient::new()?`.
        let http = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let client = ServiceBuilder::new().layer(PayNetLayer::from(auth)).service(http);
        Ok(Self { sandbox: Arc::new(sandbox), client })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.environment().api_origin())
    }

    /// Sends a request. It has no token, timestamp or signature: the layer adds them.
    async fn call(&self, request: Request<Full<Bytes>>) -> Result<Bytes, BoxError> {
        let response = self.client.clone().oneshot(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("the server answered {}", response.status()).into());
        }
        Ok(response.into_body().collect().await?.to_bytes())
    }

    async fn list_reports(&self) -> Result<Bytes, BoxError> {
        self.call(Request::get(self.url("/v1/reports/types")).body(Full::default())?).await
    }

    /// Runs `callers` tasks that make `calls` calls each. Returns how many calls failed.
    async fn load(&self, callers: u64, calls: u64) -> u64 {
        self.load_and_revoke(callers, calls, u64::MAX).await
    }

    /// The same; the server revokes all tokens before the call with this number.
    async fn load_and_revoke(&self, callers: u64, calls: u64, revoke_before: u64) -> u64 {
        let number = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (app, number) = (self.clone(), Arc::clone(&number));
            tasks.spawn(async move {
                let mut failed = 0;
                for _ in 0..calls {
                    if number.fetch_add(1, Relaxed) == revoke_before {
                        app.sandbox.revoke_tokens();
                    }
                    failed += u64::from(app.list_reports().await.is_err());
                }
                failed
            });
        }
        tasks.join_all().await.iter().sum()
    }

    /// Makes calls for this long. Returns how many failed.
    async fn load_for(&self, time: Duration) -> u64 {
        let (end, mut failed) = (Instant::now() + time, 0);
        while Instant::now() < end {
            failed += self.load(10, 5).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        failed
    }
}

/// All callers wait for one token request.
async fn no_token_yet(app: &App) -> bool {
    // The response is delayed, so that no caller finds a token.
    app.sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_millis(500))));
    let failed = app.load(1_000, 1).await;
    let requests = app.sandbox.stats().token_requests;
    report("1,000 callers without a token", &[figure("token requests", requests, 1), figure("failed calls", failed, 0)])
}

async fn calls_with_a_token(app: &App) -> bool {
    let before = app.sandbox.stats();
    let failed = app.load(100, 10).await;
    let requests = app.sandbox.stats().token_requests - before.token_requests;
    report("1,000 calls with a token", &[figure("token requests", requests, 0), figure("failed calls", failed, 0)])
}

/// PayNet requires a signature on some paths. The layer has the list.
async fn signed_request(app: &App) -> Result<bool, BoxError> {
    let before = app.sandbox.stats();
    let list: Value = serde_json::from_slice(&app.list_reports().await?)?;
    let types = list.pointer("/data").and_then(Value::as_array).map_or(0, |types| types.len() as u64);
    let rejected = app.sandbox.stats().rejected - before.rejected;
    Ok(report("a signed request", &[figure("report types", types, 2), figure("signatures rejected", rejected, 0)]))
}

/// The URL in the response may point to any host. That host must not receive the API's credentials.
async fn one_time_file(app: &App) -> Result<bool, BoxError> {
    let order = json!({ "report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31" });
    let request = Request::post(app.url("/v1/reports/download")).header(CONTENT_TYPE, "application/json");
    let response: Value = serde_json::from_slice(&app.call(request.body(Full::from(order.to_string()))?).await?)?;
    let url = response.pointer("/data/url").and_then(Value::as_str).ok_or("no URL in the response")?;
    // The same client. The URL is on another origin, so the request passes unchanged and is never replayed.
    app.call(Request::get(url).body(Full::default())?).await?;
    let Stats { downloads, credentials_leaked, .. } = app.sandbox.stats();
    Ok(report(
        "a report's one-time file, on another origin",
        &[figure("files", downloads, 1), figure("credentials leaked", credentials_leaked, 0)],
    ))
}

/// Rejected requests are replayed with a new token. Their callers do not notice.
async fn revoked_token(app: &App) -> bool {
    let before = app.sandbox.stats();
    let failed = app.load_and_revoke(50, 20, 500).await;
    let after = app.sandbox.stats();
    report(
        "the token is revoked in the middle of 1,000 calls",
        &[
            figure("rejected at first", after.rejected - before.rejected, 1..=50),
            figure("token requests", after.token_requests - before.token_requests, 1),
            figure("failed calls", failed, 0),
        ],
    )
}

/// A new token would not help. The layer learns the server's clock and signs again.
async fn wrong_clock() -> Result<bool, BoxError> {
    let sandbox = Sandbox::builder().timestamp_window(Duration::from_secs(60)).start().await?;
    let app = App::new(sandbox, RefreshPolicy::default())?;
    let failed_before = app.load(1, 1).await;
    app.sandbox.set_clock_offset(240);
    let failed = failed_before + app.load(10, 10).await;
    let Stats { token_requests, rejected, .. } = app.sandbox.stats();
    Ok(report(
        "the server's clock is four minutes ahead",
        &[
            figure("rejected at first", rejected, 1..=10),
            figure("token requests", token_requests, 1),
            figure("failed calls", failed, 0),
        ],
    ))
}

/// The next token is fetched while the old one is still used.
async fn short_lived_tokens() -> Result<bool, BoxError> {
    let sandbox = Sandbox::builder().token_lifetime(Duration::from_secs(2)).start().await?;
    let app = App::new(sandbox, RefreshPolicy::default())?;
    let failed = app.load_for(Duration::from_secs(5)).await;
    let Stats { token_requests, rejected, .. } = app.sandbox.stats();
    Ok(report(
        "5 s of calls with tokens that live for 2 s",
        &[
            figure("token requests", token_requests, 3..=5),
            figure("expired tokens sent", rejected, 0),
            figure("failed calls", failed, 0),
        ],
    ))
}

/// An early refresh may fail: the current token is still valid.
async fn outage() -> Result<bool, BoxError> {
    // Refreshed after 1 s instead of 45 s, so that the demonstration sees it fail.
    let sandbox = Sandbox::builder().token_lifetime(Duration::from_secs(60)).start().await?;
    let app = App::new(sandbox, RefreshPolicy::default().refresh_at(0.01).jitter(0.0))?;
    let failed_before = app.load(1, 1).await;
    app.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)).times(1_000));
    let failed = failed_before + app.load_for(Duration::from_secs(3)).await;
    let failed_refreshes = app.sandbox.stats().token_requests - 1;
    Ok(report(
        "the token endpoint is down, the token is still valid",
        &[figure("failed token requests", failed_refreshes, 1..=10), figure("failed calls", failed, 0)],
    ))
}

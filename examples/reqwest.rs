//! reqwest as the client under the layer, and as the transport of its token requests. Counted at a server on this machine.
//!
//! ```text
//! cargo run --features sandbox --example reqwest
//! ```
//!
//! `reqwest::Client` is a Tower service, but of `reqwest::Request` instead of `http::Request`. reqwest converts both ways,
//! so two of Tower's combinators are the whole adapter: see `over` below.
//!
//! `ClientBuilder::connector_layer` is the wrong place for an `AuthLayer`, and does not compile with it. What it wraps
//! opens connections: it is asked where to connect to, and answers with a stream of bytes, once for each connection. It has
//! no headers to add to, sees no status, and is not called for a request on a connection that is open already.

use std::{
    ops::RangeInclusive,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt, layer::layer_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    Auth, AuthLayer, BoxError, TimestampHmac,
    paynet::{self, RejectionLayer, Rejections},
    sandbox::{Sandbox, Stats},
};

#[tokio::main]
async fn main() -> ExitCode {
    match tour().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("reqwest: {error}");
            ExitCode::FAILURE
        }
    }
}

type Translated = BoxCloneSyncService<Request<Full<Bytes>>, Response<reqwest::Body>, BoxError>;
type Client = Auth<Rejections<Translated>>;

/// The adapter. `wrap` takes any body; if yours are `Bytes`, `String` or `Vec<u8>`, then `try_from(request)` will do.
fn over(client: reqwest::Client) -> Translated {
    let client = ServiceBuilder::new()
        .map_response(Response::<reqwest::Body>::from)
        .filter(|request: Request<Full<Bytes>>| reqwest::Request::try_from(request.map(reqwest::Body::wrap)))
        .service(client);
    BoxCloneSyncService::new(client) // only to write its type down
}

fn logged_in(sandbox: &Sandbox, connector: &Count) -> Result<Client, BoxError> {
    let connector = connector.clone();
    let client = reqwest::Client::builder()
        // reqwest would follow redirects below the layer. It takes `Authorization` off on the way to another host, but
        // leaves signatures on.
        .redirect(Policy::none())
        .no_proxy() // the server is on this machine
        .connector_layer(layer_fn(move |inner| Counted { inner, calls: connector.clone() }))
        .build()?;
    let (environment, credentials) = (sandbox.environment(), sandbox.credentials());
    let source = paynet::grant(&environment, credentials.clone()).transport(over(client.clone())).build()?;
    let auth = AuthLayer::builder(source)
        .origin(environment.api_origin())
        .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials))
        .build()?;
    Ok(ServiceBuilder::new().layer(auth).layer(RejectionLayer).service(over(client)))
}

/// All steps; whether each of them was as its line says.
async fn tour() -> Result<bool, BoxError> {
    let (sandbox, connector) = (Sandbox::start().await?, Count::default());
    let client = logged_in(&sandbox, &connector)?;
    let api = sandbox.environment().api_origin().to_owned();
    for _ in 0..CALLS {
        call(&client, Request::get(format!("{api}/v1/reports/types")).body(Full::default())?).await?;
    }
    let warm = sandbox.stats();
    sandbox.revoke_tokens();
    let file = order(&client, &api).await?;
    let healed = sandbox.stats();
    call(&client, Request::get(file).body(Full::default())?).await?;

    let steps = [was_warm(&warm), was_healed(&warm, &healed), was_discreet(&sandbox.stats(), &connector)];
    Ok(!steps.contains(&false))
}

fn was_warm(stats: &Stats) -> bool {
    line(
        "calls through reqwest",
        &[
            fact("accepted", stats.accepted, CALLS),
            fact("refused", stats.rejected, 0),
            fact("token requests, through reqwest too", stats.token_requests, 1),
        ],
    )
}

fn was_healed(before: &Stats, after: &Stats) -> bool {
    line(
        "an order, after the token was revoked",
        &[
            fact("refused", after.rejected, 1),
            fact("sent again and accepted", after.accepted - before.accepted, 1),
            fact("token requests", after.token_requests - before.token_requests, 1),
        ],
    )
}

/// The file is on another origin. And a layer on the connector is called for connections alone.
fn was_discreet(stats: &Stats, connector: &Count) -> bool {
    let file = [fact("files", stats.downloads, 1), fact("credentials leaked", stats.credentials_leaked, 0)];
    let calls = [
        fact("its calls", connector.get(), stats.connections),
        between("connections", stats.connections, 2..=5),
        fact("requests to the API", stats.api_requests, CALLS + 2),
    ];
    // Both lines are printed, whatever the first says.
    line("its file, on another origin", &file) & line("what a connector layer would see", &calls)
}

/// Orders a report; gives the URL of its file.
async fn order(client: &Client, api: &str) -> Result<String, BoxError> {
    let order = json!({ "report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31" });
    let request = Request::post(format!("{api}/v1/reports/download")).header(CONTENT_TYPE, "application/json");
    let answer: Value = serde_json::from_slice(&call(client, request.body(Full::from(order.to_string()))?).await?)?;
    Ok(answer.pointer("/data/url").and_then(Value::as_str).ok_or("no URL in the answer")?.to_owned())
}

async fn call(client: &Client, request: Request<Full<Bytes>>) -> Result<Bytes, BoxError> {
    let response = client.clone().oneshot(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("the server answered {}", response.status()).into());
    }
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Counts the calls of what it wraps, whatever they are.
#[derive(Clone)]
struct Counted<S> {
    inner: S,
    calls: Count,
}

impl<S: Service<T>, T> Service<T> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: T) -> S::Future {
        self.calls.0.fetch_add(1, Relaxed);
        self.inner.call(target)
    }
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A figure from the server's counters, and what it should be.
struct Fact {
    name: &'static str,
    counted: u64,
    expected: RangeInclusive<u64>,
}

fn fact(name: &'static str, counted: u64, expected: u64) -> Fact {
    between(name, counted, expected..=expected)
}

fn between(name: &'static str, counted: u64, expected: RangeInclusive<u64>) -> Fact {
    Fact { name, counted, expected }
}

/// Prints one step; whether all its figures are as expected.
fn line(step: &str, facts: &[Fact]) -> bool {
    let kept = |fact: &Fact| fact.expected.contains(&fact.counted);
    let figures: Vec<_> = facts
        .iter()
        .map(|fact| {
            let Fact { name, counted, expected } = fact;
            let instead = if kept(fact) { String::new() } else { format!(" instead of {expected:?}") };
            format!("{name}: {counted}{instead}")
        })
        .collect();
    let all_kept = facts.iter().all(kept);
    let mark = if all_kept { "ok" } else { "FAILED" };
    println!("{mark:<6}  {step:<40}  {}", figures.join(", "));
    all_kept
}

const CALLS: u64 = 20;

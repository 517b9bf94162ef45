//! Demonstration: reqwest inside the layer, and as the transport of its token requests. Counted at a server on your
//! machine.
//!
//! ```text
//! cargo run --example reqwest --features sandbox
//! ```
//!
//! `reqwest::Client` is a Tower service of `reqwest::Request`, not of `http::Request`. reqwest converts both ways, so two of
//! Tower's combinators are the whole adapter: see `adapt` below.
//!
//! `ClientBuilder::connector_layer` is not a place for an `AuthLayer`, and does not compile with it. What it wraps opens
//! connections: it is called once for each connection, with the address, and returns a stream of bytes. It sees no headers
//! and no status, and is not called for a request on an open connection.

#[path = "support/count.rs"]
mod count;
mod support;

use std::task::{Context, Poll};

use bytes::Bytes;
use count::Count;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use support::{conclude, figure, report};
use tower::{Service, ServiceBuilder, ServiceExt, layer::layer_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    Auth, AuthLayer, BoxError,
    paynet::{self, PayNetLayer, Rejections},
    sandbox::{Sandbox, Stats},
    signing::TimestampHmac,
};

type Adapted = BoxCloneSyncService<Request<Full<Bytes>>, Response<reqwest::Body>, BoxError>;
type Client = Auth<Rejections<Adapted>>;

/// The adapter. `wrap` takes any body; for `Bytes`, `String` or `Vec<u8>`, `try_from(request)` is enough.
fn adapt(client: reqwest::Client) -> Adapted {
    let client = ServiceBuilder::new()
        .map_response(Response::<reqwest::Body>::from)
        .filter(|request: Request<Full<Bytes>>| reqwest::Request::try_from(request.map(reqwest::Body::wrap)))
        .service(client);
    BoxCloneSyncService::new(client) // only to give its type a name
}

fn client(sandbox: &Sandbox, connector_calls: &Count) -> Result<Client, BoxError> {
    let calls = connector_calls.clone();
    let client = reqwest::Client::builder()
        // reqwest would follow redirects inside the layer. It removes `Authorization` when the host changes, but no
        // signature.
        .redirect(Policy::none())
        // The server is on this machine. Otherwise reqwest takes the proxy that the environment names, if any.
        .no_proxy()
        .connector_layer(layer_fn(move |inner| Counted { inner, calls: calls.clone() }))
        .build()?;
    let (environment, credentials) = (sandbox.environment(), sandbox.credentials());
    let grant = paynet::grant(&environment, credentials.clone()).transport(adapt(client.clone())).build()?;
    let auth = AuthLayer::builder(grant)
        .origin(environment.api_origin())
        .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials))
        .build()?;
    Ok(ServiceBuilder::new().layer(PayNetLayer::from(auth)).service(adapt(client)))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (sandbox, connector_calls) = (Sandbox::start().await?, Count::default());
    let client = client(&sandbox, &connector_calls)?;
    let api = sandbox.environment().api_origin().to_owned();
    for _ in 0..CALLS {
        call(&client, Request::get(format!("{api}/v1/reports/types")).body(Full::default())?).await?;
    }
    let before = sandbox.stats();
    sandbox.revoke_tokens();
    let file = order_report(&client, &api).await?;
    let after = sandbox.stats();
    call(&client, Request::get(file).body(Full::default())?).await?;

    conclude(&[
        calls_through_reqwest(&before),
        revoked_token(&before, &after),
        one_time_file(&sandbox.stats()),
        connector_layer(&sandbox.stats(), &connector_calls),
    ])
}

fn calls_through_reqwest(stats: &Stats) -> bool {
    report(
        "calls through reqwest",
        &[
            figure("accepted", stats.accepted, CALLS),
            figure("rejected", stats.rejected, 0),
            figure("token requests, through reqwest too", stats.token_requests, 1),
        ],
    )
}

fn revoked_token(before: &Stats, after: &Stats) -> bool {
    report(
        "an order after the token was revoked",
        &[
            figure("rejected", after.rejected, 1),
            figure("replayed and accepted", after.accepted - before.accepted, 1),
            figure("token requests", after.token_requests - before.token_requests, 1),
        ],
    )
}

fn one_time_file(stats: &Stats) -> bool {
    let leaked = figure("credentials leaked", stats.credentials_leaked, 0);
    report("its file, on another origin", &[figure("files", stats.downloads, 1), leaked])
}

fn connector_layer(stats: &Stats, connector_calls: &Count) -> bool {
    report(
        "what a connector layer would see",
        &[
            figure("its calls", connector_calls.get(), stats.connections),
            figure("connections", stats.connections, 2..=5),
            figure("requests to the API", stats.api_requests, CALLS + 2),
        ],
    )
}

/// Orders a report and returns the URL of its file.
async fn order_report(client: &Client, api: &str) -> Result<String, BoxError> {
    let order = json!({ "report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31" });
    let request = Request::post(format!("{api}/v1/reports/download")).header(CONTENT_TYPE, "application/json");
    let response: Value = serde_json::from_slice(&call(client, request.body(Full::from(order.to_string()))?).await?)?;
    Ok(response.pointer("/data/url").and_then(Value::as_str).ok_or("no URL in the response")?.to_owned())
}

async fn call(client: &Client, request: Request<Full<Bytes>>) -> Result<Bytes, BoxError> {
    let response = client.clone().oneshot(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("the server answered {}", response.status()).into());
    }
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Counts the calls of the service that it wraps.
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
        self.calls.add_one();
        self.inner.call(target)
    }
}

const CALLS: u64 = 20;

//! Where `Retry` and `Timeout` belong around the layer, and what each order does. Counted at a server on this machine.
//!
//! ```text
//! cargo run --features sandbox --example retry_timeout
//! ```
//!
//! The recommended stack, from the outside in:
//!
//! ```text
//! Timeout            how long the caller waits, for everything below together
//! Retry              5xx and transient errors; each try gets a new timestamp and a new signature
//! AuthLayer          token and signature
//! RejectionLayer     reads PayNet's messages
//! HTTP client
//! ```
//!
//! The policy is in `retry_timeout/policy.rs`.
#![expect(clippy::disallowed_methods, reason = "a demonstration runs in real time")]

#[path = "retry_timeout/policy.rs"]
mod policy;

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use policy::Patient;
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    retry::{RetryLayer, budget::TpsBudget},
    timeout::{TimeoutLayer, error::Elapsed},
};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, ErrorKind, RefreshPolicy,
    paynet::{self, RejectionLayer},
    sandbox::{Fault, FaultKind, Sandbox},
};

#[tokio::main]
async fn main() -> ExitCode {
    match all_orders().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("retry_timeout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether each order did what its line says.
async fn all_orders() -> Result<bool, BoxError> {
    let lines = [
        timeout_outside().await?,
        timeout_inside().await?,
        retry_outside().await?,
        retry_inside().await?,
        permanent_error().await?,
        retry_after().await?,
    ];
    Ok(!lines.contains(&false))
}

/// The caller's patience covers the wait for a token. The flight does not end with it: the next call finds its token.
async fn timeout_outside() -> Result<bool, BoxError> {
    let sandbox = Sandbox::start().await?;
    let auth = auth(&sandbox)?;
    let client = TimeoutLayer::new(PATIENCE).layer(auth.layer(RejectionLayer.layer(http())));
    sandbox.inject(Fault::token(FaultKind::Latency(2 * PATIENCE)));

    let first = call(client.clone(), &sandbox).await;
    let timed_out = first.is_err_and(|error| error.is::<Elapsed>());
    auth.handle().token().await?; // waits for the flight that the first call began, and for no other
    let second = call(client, &sandbox).await?;
    Ok(line(
        "Timeout outside: waiting for a token counts, the next call is warm",
        &[
            fact("calls timed out", timed_out.into(), 1),
            fact("next answer", second.as_u16().into(), 200),
            fact("token requests", sandbox.stats().token_requests, 1),
        ],
    ))
}

/// Under the layer a timeout bounds each answer of the API. The wait for a token has its own bounds: `max_wait` and
/// `RefreshPolicy::deadline`.
async fn timeout_inside() -> Result<bool, BoxError> {
    let sandbox = Sandbox::start().await?;
    let client = auth(&sandbox)?.layer(TimeoutLayer::new(PATIENCE).layer(RejectionLayer.layer(http())));
    sandbox.inject(Fault::token(FaultKind::Latency(2 * PATIENCE)));
    let answer = call(client, &sandbox).await?;
    Ok(line(
        "Timeout inside: waiting for a token does not count",
        &[fact("answer", answer.as_u16().into(), 200), fact("token requests", sandbox.stats().token_requests, 1)],
    ))
}

/// The recommended stack. A try that comes later is signed for its own time.
async fn retry_outside() -> Result<bool, BoxError> {
    let sandbox = busy_and_strict().await?;
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(30)))
        .layer(RetryLayer::new(patient()))
        .layer(auth(&sandbox)?)
        .layer(RejectionLayer)
        .service(http());
    let answer = call(client, &sandbox).await?;
    Ok(line(
        "Retry outside: each try has a new signature",
        &[
            fact("answer", answer.as_u16().into(), 200),
            fact("tries", sandbox.stats().api_requests, 2),
            fact("signatures out of date", sandbox.stats().rejected, 0),
        ],
    ))
}

/// A try that comes later carries a signature from before. Here the layer heals that, which takes another request.
async fn retry_inside() -> Result<bool, BoxError> {
    let sandbox = busy_and_strict().await?;
    let client = ServiceBuilder::new()
        .layer(auth(&sandbox)?)
        .layer(RejectionLayer)
        .layer(RetryLayer::new(patient()))
        .map_err(BoxError::from)
        .service(http());
    let answer = call(client, &sandbox).await?;
    Ok(line(
        "Retry inside: tries share a signature, which gets too old",
        &[
            fact("answer", answer.as_u16().into(), 200),
            fact("tries", sandbox.stats().api_requests, 3),
            fact("signatures out of date", sandbox.stats().rejected, 1),
        ],
    ))
}

/// A wrong secret stays wrong: `AuthError::is_transient` tells the policy, and nobody hammers the token endpoint.
async fn permanent_error() -> Result<bool, BoxError> {
    let sandbox = Sandbox::start().await?;
    let wrong = Credentials::new(sandbox.credentials().client_id(), "not the secret");
    let auth = paynet::auth(&sandbox.environment(), wrong)?.build()?;
    let client = RetryLayer::new(patient()).layer(auth.layer(RejectionLayer.layer(http())));
    let error = call(client, &sandbox).await.err().ok_or("a call with a wrong secret went well")?;
    let denied = AuthError::find(error.as_ref()).is_some_and(|error| error.kind() == ErrorKind::Denied);
    Ok(line(
        "a permanent error is not retried",
        &[
            fact("calls denied", denied.into(), 1),
            fact("token requests", sandbox.stats().token_requests, 1),
            fact("requests without a token", sandbox.stats().api_requests, 0),
        ],
    ))
}

/// The layer leaves a failing token endpoint alone for a while, and says how long. Within that time a retry would only
/// hear the same error again: three of them, without a pause, would all be in vain.
async fn retry_after() -> Result<bool, BoxError> {
    let sandbox = Sandbox::start().await?;
    // One try a flight, so that the first failure reaches the policy.
    let once = RefreshPolicy::default().attempts(1);
    let auth = paynet::auth(&sandbox.environment(), sandbox.credentials())?.refresh(once).build()?;
    let client = RetryLayer::new(patient()).layer(auth.layer(RejectionLayer.layer(http())));
    sandbox.inject(Fault::token(FaultKind::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(2))));
    let answer = call(client, &sandbox).await?;
    Ok(line(
        "retry_after() is waited for before the next try",
        &[fact("answer", answer.as_u16().into(), 200), fact("token requests", sandbox.stats().token_requests, 2)],
    ))
}

fn auth(sandbox: &Sandbox) -> Result<AuthLayer, AuthError> {
    paynet::auth(&sandbox.environment(), sandbox.credentials())?.build()
}

/// Three more tries, and for the whole client as many as a fifth of its calls, or ten a second.
fn patient() -> Patient {
    Patient::new(3, TpsBudget::default())
}

fn http() -> legacy::Client<HttpConnector, Full<Bytes>> {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// A server that is busy at first, and takes no signature older than a second.
async fn busy_and_strict() -> Result<Sandbox, BoxError> {
    let sandbox = Sandbox::builder().timestamp_window(Duration::from_secs(1)).start().await?;
    sandbox.inject(Fault::api(FaultKind::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, PAUSE)));
    Ok(sandbox)
}

async fn call<S, RB>(client: S, sandbox: &Sandbox) -> Result<StatusCode, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>, Error = BoxError>,
{
    let url = format!("{}/v1/reports/types", sandbox.environment().api_origin());
    Ok(client.oneshot(Request::get(url).body(Full::default())?).await?.status())
}

/// A figure that was counted, and what it should be.
fn fact(name: &'static str, counted: u64, promised: u64) -> (&'static str, u64, u64) {
    (name, counted, promised)
}

/// Prints one order; whether all its figures are as promised.
fn line(order: &str, facts: &[(&'static str, u64, u64)]) -> bool {
    let figures: Vec<_> = facts
        .iter()
        .map(|(name, counted, promised)| {
            let instead = if counted == promised { String::new() } else { format!(" instead of {promised}") };
            format!("{name}: {counted}{instead}")
        })
        .collect();
    let all_kept = facts.iter().all(|(_, counted, promised)| counted == promised);
    let mark = if all_kept { "ok" } else { "FAILED" };
    println!("{mark:<6}  {order:<65}  {}", figures.join(", "));
    all_kept
}

const PATIENCE: Duration = Duration::from_millis(500);
/// Longer than the strict server takes a signature for.
const PAUSE: Duration = Duration::from_secs(3);

//! Demonstration: `Retry` and `Timeout` around the layer, and what each order does. Counted at a server on your machine.
//!
//! ```text
//! cargo run --example retry_timeout --features sandbox
//! ```
//!
//! The recommended stack, from the outside in:
//!
//! ```text
//! Timeout            how long the caller waits, for everything below together
//! Retry              5xx and transient errors; each try gets a new timestamp and a new signature
//! PayNetLayer        token and signature; reads PayNet's rejections
//! HTTP client
//! ```
//!
//! The policy to copy is in `retry_timeout/policy.rs`.
#![expect(clippy::disallowed_methods, reason = "a demonstration runs in real time")]

#[path = "retry_timeout/policy.rs"]
mod policy;
mod support;

use std::time::Duration;

use http::{Request, Response, StatusCode};
use policy::Patient;
use support::{conclude, figure, report};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    retry::{RetryLayer, budget::TpsBudget},
    timeout::{TimeoutLayer, error::Elapsed},
};
use tower_outbound_auth::{
    AuthError, BoxError, Credentials, ErrorKind,
    client::HttpsClient,
    paynet::{self, PayNetLayer},
    sandbox::{Fault, FaultKind, Sandbox},
    token::RefreshPolicy,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    conclude(&[
        timeout_outside().await?,
        timeout_inside().await?,
        retry_outside().await?,
        retry_inside().await?,
        permanent_error().await?,
        retry_after().await?,
    ])
}

/// The wait for a token counts. The token fetch does not end with the call: the next call finds the token.
async fn timeout_outside() -> Result<bool, BoxError> {
    let sandbox = Sandbox::start().await?;
    let paynet = paynet_layer(&sandbox)?;
    let client = TimeoutLayer::new(TIMEOUT).layer(paynet.layer(HttpsClient::new()?));
    sandbox.inject(Fault::token(FaultKind::Latency(2 * TIMEOUT)));

    let first = call(client.clone(), &sandbox).await;
    let timed_out = first.is_err_and(|error| error.is::<Elapsed>());
    paynet.handle().token().await?; // waits for the fetch that the first call started
    let second = call(client, &sandbox).await?;
    Ok(report(
        "Timeout outside: the wait for a token counts",
        &[
            figure("calls timed out", timed_out.into(), 1),
            figure("next response", second.as_u16().into(), 200),
            figure("token requests", sandbox.stats().token_requests, 1),
        ],
    ))
}

/// Inside the layer a timeout bounds each response of the API. Other settings bound the wait for a token: `max_wait` and
/// `RefreshPolicy::deadline`.
async fn timeout_inside() -> Result<bool, BoxError> {
    let sandbox = Sandbox::start().await?;
    let client = paynet_layer(&sandbox)?.layer(TimeoutLayer::new(TIMEOUT).layer(HttpsClient::new()?));
    sandbox.inject(Fault::token(FaultKind::Latency(2 * TIMEOUT)));
    let status = call(client, &sandbox).await?;
    let requests = sandbox.stats().token_requests;
    Ok(report(
        "Timeout inside: the wait for a token does not count",
        &[figure("response", status.as_u16().into(), 200), figure("token requests", requests, 1)],
    ))
}

/// The recommended stack. Each try is signed anew.
async fn retry_outside() -> Result<bool, BoxError> {
    let sandbox = busy_with_a_narrow_window().await?;
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(30)))
        .layer(RetryLayer::new(retry_policy()))
        .layer(paynet_layer(&sandbox)?)
        .service(HttpsClient::new()?);
    let status = call(client, &sandbox).await?;
    Ok(report(
        "Retry outside: each try has a new signature",
        &[
            figure("response", status.as_u16().into(), 200),
            figure("requests", sandbox.stats().api_requests, 2),
            figure("signatures too old", sandbox.stats().rejected, 0),
        ],
    ))
}

/// A later try has the signature of the first, which is too old by then. The caller gets the rejection.
async fn retry_inside() -> Result<bool, BoxError> {
    let sandbox = busy_with_a_narrow_window().await?;
    let client = ServiceBuilder::new()
        .layer(paynet_layer(&sandbox)?)
        .layer(RetryLayer::new(retry_policy()))
        .service(HttpsClient::new()?);
    let status = call(client, &sandbox).await?;
    Ok(report(
        "Retry inside: the tries share a signature",
        &[
            figure("response", status.as_u16().into(), 200),
            figure("requests", sandbox.stats().api_requests, 3),
            figure("signatures too old", sandbox.stats().rejected, 1),
        ],
    ))
}

/// A wrong secret stays wrong: `AuthError::is_transient` tells the policy not to retry.
async fn permanent_error() -> Result<bool, BoxError> {
    let sandbox = Sandbox::start().await?;
    let wrong = Credentials::new(sandbox.credentials().client_id(), "not the secret");
    let paynet = paynet::layer(&sandbox.environment(), wrong)?;
    let client = RetryLayer::new(retry_policy()).layer(paynet.layer(HttpsClient::new()?));
    let error = call(client, &sandbox).await.err().ok_or("a call with a wrong secret succeeded")?;
    let denied = AuthError::find(error.as_ref()).is_some_and(|error| error.kind() == ErrorKind::Denied);
    Ok(report(
        "a permanent error is not retried",
        &[
            figure("calls denied", denied.into(), 1),
            figure("token requests", sandbox.stats().token_requests, 1),
            figure("requests without a token", sandbox.stats().api_requests, 0),
        ],
    ))
}

/// After a failed fetch the layer makes no token request for a while, and the error says for how long. A retry before then
/// would get the same error: three tries without a pause would all fail.
async fn retry_after() -> Result<bool, BoxError> {
    let sandbox = Sandbox::start().await?;
    // One attempt for each fetch, so that the first failure reaches the policy.
    let once = RefreshPolicy::default().attempts(1);
    let auth = paynet::auth(&sandbox.environment(), sandbox.credentials())?.refresh(once).build()?;
    let client = RetryLayer::new(retry_policy()).layer(PayNetLayer::from(auth).layer(HttpsClient::new()?));
    sandbox.inject(Fault::token(FaultKind::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(2))));
    let status = call(client, &sandbox).await?;
    let requests = sandbox.stats().token_requests;
    Ok(report(
        "the next try waits for retry_after()",
        &[figure("response", status.as_u16().into(), 200), figure("token requests", requests, 2)],
    ))
}

fn paynet_layer(sandbox: &Sandbox) -> Result<PayNetLayer, AuthError> {
    paynet::layer(&sandbox.environment(), sandbox.credentials())
}

/// Up to three more tries of one call; for the whole client a fifth of its calls, and ten a second.
fn retry_policy() -> Patient {
    Patient::new(3, TpsBudget::default())
}

/// Starts a server that is busy at first, and rejects signatures older than a second.
async fn busy_with_a_narrow_window() -> Result<Sandbox, BoxError> {
    let sandbox = Sandbox::builder().timestamp_window(Duration::from_secs(1)).start().await?;
    sandbox.inject(Fault::api(FaultKind::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, PAUSE)));
    Ok(sandbox)
}

async fn call<S, RB>(client: S, sandbox: &Sandbox) -> Result<StatusCode, BoxError>
where
    S: Service<Request<String>, Response = Response<RB>, Error = BoxError>,
{
    let url = format!("{}/v1/reports/types", sandbox.environment().api_origin());
    Ok(client.oneshot(Request::get(url).body(String::new())?).await?.status())
}

const TIMEOUT: Duration = Duration::from_millis(500);
/// Longer than a signature is valid.
const PAUSE: Duration = Duration::from_secs(3);

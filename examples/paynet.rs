//! Calls PayNet's reports API, here against the sandbox, so that it runs without an account. To copy.
//!
//! ```text
//! cargo run --example paynet --features sandbox
//! ```

use http::Request;
use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{BoxError, client::HttpsClient, paynet, sandbox::Sandbox};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // With PayNet: `paynet::Environment::non_production()` and
    // `Credentials::from_env("PAYNET_CLIENT_ID", "PAYNET_CLIENT_SECRET")?`.
    let sandbox = Sandbox::start().await?;
    let (environment, credentials) = (sandbox.environment(), sandbox.credentials());

    let paynet = paynet::layer(&environment, credentials)?;
    let client = ServiceBuilder::new().layer(paynet).service(HttpsClient::new()?);

    let url = format!("{}/v1/reports/types", environment.api_origin());
    for _ in 0..2 {
        let request = Request::get(&url).body(String::new())?;
        let response = client.clone().oneshot(request).await?;
        println!("{}: {:?}", response.status(), response.into_body().collect().await?.to_bytes());
        // The next request is rejected. The layer renews the token and replays it.
        sandbox.revoke_tokens();
    }
    println!("token requests: {}", sandbox.stats().token_requests);
    Ok(())
}

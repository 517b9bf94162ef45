//! Calls PayNet's API with reqwest, against a server on your machine. To copy: put in your environment and credentials.
//!
//! ```text
//! cargo run --example reqwest --features reqwest,sandbox
//! ```

use reqwest_middleware::ClientBuilder;
use serde_json::{Value, json};
use tower_outbound_auth::{
    BoxError, paynet,
    reqwest::{AuthMiddleware, redirect_policy},
    sandbox::Sandbox,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let sandbox = Sandbox::start().await?;
    let environment = sandbox.environment();
    let auth = paynet::layer(&environment, sandbox.credentials())?;
    let client = reqwest::Client::builder().redirect(redirect_policy()).build()?;
    let client = ClientBuilder::new(client).with(AuthMiddleware::from(auth)).build();

    let reports = format!("{}/v1/reports", environment.api_origin());
    let types: Value = client.get(format!("{reports}/types")).send().await?.error_for_status()?.json().await?;
    println!("report types: {:?}", types.get("data"));

    // The API rejects the token; the request is replayed with a new one and a new signature.
    sandbox.revoke_tokens();
    let order = json!({ "report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31" });
    let response = client.post(format!("{reports}/download")).json(&order).send().await?;
    let ordered: Value = response.error_for_status()?.json().await?;

    // The file is on another origin, which gets no credentials.
    let url = ordered.pointer("/data/url").and_then(Value::as_str).ok_or("no URL in the response")?;
    println!("a file of {} bytes", client.get(url).send().await?.error_for_status()?.bytes().await?.len());

    let stats = sandbox.stats();
    let seen = [stats.token_requests, stats.accepted, stats.rejected, stats.downloads, stats.credentials_leaked];
    println!("token requests, accepted, rejected, files, leaked: {seen:?}");
    if seen == [2, 2, 1, 1, 0] { Ok(()) } else { Err("it should be [2, 2, 1, 1, 0]".into()) }
}

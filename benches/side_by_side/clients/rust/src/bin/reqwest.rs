//! This crate as a middleware of reqwest. A redirect to another origin is a new request.

use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    oauth::ClientCredentialsGrant,
    reqwest::{AuthMiddleware, auth_error, redirect_policy},
};

#[path = "../protocol.rs"]
mod protocol;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let [token_url, api_url, id, secret] = protocol::arguments(0)?;
    let grant = ClientCredentialsGrant::builder(&token_url, Credentials::new(id, secret)).build()?;
    let auth = AuthLayer::builder(grant).origin(api_url.trim_end_matches("/api")).build()?;
    let http = reqwest::Client::builder().redirect(redirect_policy()).build()?;
    let client = ClientBuilder::new(http).with(AuthMiddleware::from(auth)).build();
    protocol::serve("tower-outbound-auth 0.1.0, reqwest 0.13", move |url, timeout| {
        let client = client.clone();
        async move { call(&client, &url, timeout).await.unwrap_or_else(|error| name(&error)) }
    })
    .await
}

async fn call(client: &ClientWithMiddleware, url: &str, timeout: Duration) -> Result<String, Error> {
    let send = |url: &str| {
        let request = client.get(url);
        if timeout.is_zero() { request.send() } else { request.timeout(timeout).send() }
    };
    let mut response = send(url).await?;
    if let Some(location) = response.headers().get(LOCATION).and_then(|location| location.to_str().ok()) {
        response = send(location).await?;
    }
    let status = response.status().as_u16().to_string();
    response.bytes().await?;
    Ok(status)
}

fn name(error: &Error) -> String {
    if error.is_timeout() || auth_error(error).map(AuthError::kind) == Some(ErrorKind::Timeout) {
        return "timeout".to_owned();
    }
    eprintln!("{error}");
    "error".to_owned()
}

//! This crate over hyper-util. The stack is the one that the guide recommends: `Timeout` and `FollowRedirect` outside of
//! `AuthLayer`.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{
    ServiceBuilder, ServiceExt,
    timeout::{TimeoutLayer, error::Elapsed},
};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_outbound_auth::{Auth, AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};

#[path = "../protocol.rs"]
mod protocol;

type Client = Auth<legacy::Client<HttpConnector, Full<Bytes>>>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let [token_url, api_url, id, secret] = protocol::arguments(0)?;
    let grant = ClientCredentialsGrant::builder(&token_url, Credentials::new(id, secret)).build()?;
    let auth = AuthLayer::builder(grant).origin(api_url.trim_end_matches("/api")).build()?;
    let http = legacy::Client::builder(TokioExecutor::new()).build_http();
    let client: Client = ServiceBuilder::new().layer(auth).service(http);
    protocol::serve("tower-outbound-auth 0.1.0, hyper-util", move |url, timeout| {
        let client = client.clone();
        async move { call(client, &url, timeout).await.unwrap_or_else(|error| name(&error)) }
    })
    .await
}

async fn call(client: Client, url: &str, timeout: Duration) -> Result<String, BoxError> {
    let stack = ServiceBuilder::new()
        .option_layer((!timeout.is_zero()).then(|| TimeoutLayer::new(timeout)))
        .layer(FollowRedirectLayer::new())
        .service(client);
    let response = stack.oneshot(Request::get(url).body(Full::default())?).await?;
    let status = response.status().as_u16().to_string();
    response.into_body().collect().await?;
    Ok(status)
}

fn name(error: &BoxError) -> String {
    if error.is::<Elapsed>() {
        return "timeout".to_owned();
    }
    eprintln!("{error}");
    "error".to_owned()
}

//! This crate as one of the clients that `benches/side_by_side/run.py` compares.
//!
//! The stack is the one that the guide recommends: `Timeout` and `FollowRedirect` outside of `AuthLayer`.

use std::{
    io::{self, Write},
    num::ParseIntError,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::task::JoinSet;
use tower::{
    ServiceBuilder, ServiceExt,
    timeout::{TimeoutLayer, error::Elapsed},
};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_outbound_auth::{Auth, AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};

type Client = Auth<legacy::Client<HttpConnector, Full<Bytes>>>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [token_url, api_url, id, secret] = arguments.as_slice() else {
        return Err("arguments: token URL, API URL, client id, client secret".into());
    };
    let grant = ClientCredentialsGrant::builder(token_url, Credentials::new(id, secret.as_str())).build()?;
    let auth = AuthLayer::builder(grant).origin(api_url.trim_end_matches("/api")).build()?;
    let http = legacy::Client::builder(TokioExecutor::new()).build_http();
    let client: Client = ServiceBuilder::new().layer(auth).service(http);

    println!("ready tower-outbound-auth {}, hyper-util", env!("CARGO_PKG_VERSION"));
    for line in io::stdin().lines() {
        let outcomes = batch(&client, &line?).await?;
        writeln!(io::stdout(), "{}", outcomes.join(" "))?;
    }
    Ok(())
}

/// Runs the callers of one line of input.
async fn batch(client: &Client, line: &str) -> Result<Vec<String>, BoxError> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [calls, gap, timeout, url] = words.as_slice() else {
        return Err("a line is: calls, gap, timeout, URL".into());
    };
    let (gap, timeout) = (millis(gap)?, millis(timeout)?);
    let mut callers = JoinSet::new();
    for number in 0..calls.parse()? {
        let (client, url) = (client.clone(), (*url).to_owned());
        callers.spawn(async move {
            clock::sleep(gap * number).await;
            let start = clock::now();
            let outcome = call(client, &url, timeout).await.unwrap_or_else(|error| name(&error));
            format!("{outcome}:{}", start.elapsed().as_millis())
        });
    }
    Ok(callers.join_all().await)
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

fn millis(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}

/// Callers start in real time.
#[expect(clippy::disallowed_methods, reason = "the other clients have no paused clock")]
mod clock {
    use std::time::{Duration, Instant};

    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    pub(crate) async fn sleep(time: Duration) {
        tokio::time::sleep(time).await;
    }
}

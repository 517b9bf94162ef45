//! One of the peers as a client of `benches/side_by_side/run.py`: the first argument names it.

use std::time::Duration;

use outbound_auth_reqwest_peers::{BoxError, Cache, ReadWriteLock, aliri, reqwest_auth};

#[path = "../../../side_by_side/clients/rust/src/protocol.rs"]
mod protocol;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let [token_url, _, id, secret] = protocol::arguments(1)?;
    let cache = || Cache::new(&token_url, &id, &secret);
    match std::env::args().nth(1).as_deref() {
        Some("by-hand") => {
            let http = reqwest::Client::new();
            let client = reqwest_middleware::ClientBuilder::new(http).with(ReadWriteLock(cache())).build();
            protocol::serve("hand-written RwLock, reqwest 0.13", move |url, timeout| {
                let request = client.get(url);
                async move { outcome!(request, timeout) }
            })
            .await
        }
        Some("reqwest-auth") => {
            let http = reqwest_before::Client::new();
            let client = reqwest_middleware_before::ClientBuilder::new(http).with(reqwest_auth(cache())).build();
            protocol::serve("reqwest-auth 1.0.0 over that lock, reqwest 0.12", move |url, timeout| {
                let request = client.get(url);
                async move { outcome!(request, timeout) }
            })
            .await
        }
        Some("aliri_reqwest") => {
            let http = reqwest_before::Client::new();
            // It cannot be built without a first token, so a program would not start.
            let client = aliri(&token_url, &id, &secret).await.ok();
            let client = client.map(|auth| reqwest_middleware_before::ClientBuilder::new(http).with(auth).build());
            protocol::serve("aliri_reqwest 0.5.1, reqwest 0.12", move |url, timeout| {
                let request = client.as_ref().map(|client| client.get(url));
                async move {
                    match request {
                        Some(request) => outcome!(request, timeout),
                        None => "error".to_owned(),
                    }
                }
            })
            .await
        }
        _ => Err("the first argument: by-hand, reqwest-auth or aliri_reqwest".into()),
    }
}

/// The two versions of reqwest have different types of the same names.
macro_rules! outcome {
    ($request:expr, $timeout:expr) => {{
        let (request, timeout): (_, Duration) = ($request, $timeout);
        let request = if timeout.is_zero() { request } else { request.timeout(timeout) };
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16().to_string();
                if response.bytes().await.is_ok() { status } else { "error".to_owned() }
            }
            Err(error) if error.is_timeout() => "timeout".to_owned(),
            Err(_) => "error".to_owned(),
        }
    }};
}
use outcome;

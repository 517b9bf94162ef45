//! A layer whose secret, token, signature and static header are all planted, and requests to send through it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a counterpart in a test may panic, and sleeps on paused time"
)]

use std::{fmt::Debug, time::Duration};

use http::{HeaderName, HeaderValue, Request, Response};
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayer, AuthLayerBuilder, BoxError, Credentials,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    signing::{SignRules, TimestampHmac},
    token::TokenSource,
};

use super::{
    secrets::{Ears, HEADER, SECRET, TOKEN},
    token_server::{Answer, endpoint, reply},
};
use crate::support::{Body, ORIGIN, Seen, get};

const STATIC: HeaderName = HeaderName::from_static("x-static");
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

pub(crate) fn credentials() -> Credentials {
    Credentials::new("client-id", SECRET)
}

#[expect(clippy::unnecessary_wraps, reason = "an endpoint may have no answer")]
pub(crate) fn token_number(number: usize) -> Answer {
    let answer = json!({ "access_token": format!("{TOKEN}{number}"), "expires_in": 100, "scope": "read" });
    Ok(reply(200, &[], answer.to_string()))
}

pub(crate) fn source(
    answer: impl Fn(usize) -> Answer + Clone + Send + Sync + 'static,
) -> ClientCredentialsGrantBuilder {
    let builder = ClientCredentialsGrant::builder("https://login.example.com/token", credentials());
    builder.transport(endpoint(answer).1).param("password", SECRET)
}

pub(crate) fn dressed(source: impl TokenSource) -> AuthLayerBuilder {
    AuthLayer::builder(source)
        .origin(ORIGIN)
        .header(STATIC, HeaderValue::from_static(HEADER))
        .sign(SignRules::all(), TimestampHmac::sha256(credentials()))
}

/// An API that answers with these status codes one after the other, and with 200 from then on.
pub(crate) fn api(
    statuses: &'static [u16],
) -> (
    Seen,
    impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + Debug + 'static,
) {
    let seen = Seen::default();
    let log = seen.clone();
    let service = service_fn(move |request: Request<Body>| {
        let status = statuses.get(log.count()).copied().unwrap_or(200);
        log.push(&request);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, BoxError>(reply(status, &[], format!("echo {SECRET} {TOKEN}")))
        }
    });
    (seen, service)
}

/// Sends some requests some time apart, and tells whatever can be seen of the layer and of the errors.
pub(crate) async fn run(ears: &Ears, layer: &AuthLayer, statuses: &'static [u16], pauses: &[u64]) -> Vec<u16> {
    let (seen, api) = api(statuses);
    let service = layer.layer(api);
    let mut answers = Vec::new();
    for pause in pauses {
        tokio::time::sleep(Duration::from_secs(*pause)).await;
        match service.clone().oneshot(get("/a")).await {
            Ok(response) => answers.push(response.status().as_u16()),
            Err(error) => {
                ears.tell_error(error.as_ref());
                answers.push(0);
            }
        }
        ears.tell(&(layer, layer.handle(), layer.handle().status(), &service));
    }
    for request in seen.requests() {
        ears.tell(&request);
        ears.learn(request.headers()[SIGNATURE].to_str().unwrap());
    }
    answers
}

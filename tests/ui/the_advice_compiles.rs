//! What the messages advise does compile, and works.

use std::{
    error::Error,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    oauth::ClientCredentialsGrant,
    replay::{EmptyBody, NoReplay},
    signing::{SignRules, TimestampHmac},
};

use crate::support::{Issuer, ORIGIN};

type Boxed = BoxBody<Bytes, BoxError>;

/// Neither `Clone`, nor with an error that is one.
struct Connection;

#[derive(Debug)]
struct Down;

impl<B> Service<Request<B>> for Connection {
    type Response = Response<String>;
    type Error = Down;
    type Future = Ready<Result<Response<String>, Down>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Down>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        ready(Ok(Response::new(String::new())))
    }
}

fn request<B>(body: B) -> Result<Request<B>, http::Error> {
    Request::post(format!("{ORIGIN}/a")).body(body)
}

#[tokio::test(start_paused = true)]
async fn a_buffer_and_another_error_make_any_service_fit() -> Result<(), BoxError> {
    let stack = ServiceBuilder::new().layer(Issuer::new().layer()).buffer(8);
    let client = stack.map_err(|Down| BoxError::from("the connection is down")).service(Connection);
    assert_eq!(client.oneshot(request(String::new())?).await?.status(), 200);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn another_policy_makes_any_body_fit() -> Result<(), BoxError> {
    let api = service_fn(async |_: Request<Boxed>| Ok::<_, BoxError>(Response::new(String::new())));
    let body = || BoxBody::new(Full::from("payload").map_err(BoxError::from));
    let client = ServiceBuilder::new().layer(Issuer::new().builder().replay(NoReplay).build()?).service(api);
    assert_eq!(client.oneshot(request(body())?).await?.status(), 200);
    let client = ServiceBuilder::new().layer(Issuer::new().builder().replay(EmptyBody).build()?).service(api);
    assert_eq!(client.oneshot(request(body())?).await?.status(), 200);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn boxed_once_more_the_client_of_a_boxed_service_is_spawned() -> Result<(), BoxError> {
    type Http = BoxCloneSyncService<Request<String>, Response<String>, BoxError>;
    let http = Http::new(service_fn(async |_: Request<String>| Ok::<_, BoxError>(Response::new(String::new()))));
    let client = Http::new(Issuer::new().layer().layer(http));
    let status =
        tokio::spawn(async move { Ok::<_, BoxError>(client.oneshot(request(String::new())?).await?.status()) });
    assert_eq!(status.await??, 200);
    Ok(())
}

#[test]
fn built_they_are_a_source_a_signer_and_a_layer() -> Result<(), Box<dyn Error>> {
    let credentials = Credentials::new("my-client", "my-secret");
    let reqwest = reqwest::Client::new();
    let transport = service_fn(move |request: Request<Full<Bytes>>| {
        let reqwest = reqwest.clone();
        async move {
            let answer = reqwest.execute(request.map(reqwest::Body::wrap).try_into()?).await?;
            Ok::<_, reqwest::Error>(Response::<reqwest::Body>::from(answer))
        }
    });
    let source = ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone());
    let auth = AuthLayer::builder(source.transport(transport).build()?)
        .origin(ORIGIN)
        .sign(SignRules::all(), TimestampHmac::sha256(credentials));
    let _client = ServiceBuilder::new().layer(auth.build()?);
    Ok(())
}

//! tonic over the layer: gRPC rejects in `grpc-status`, with HTTP status 200, and its bodies can be read only once.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::{sync::mpsc, task::yield_now, time::timeout};
use tokio_stream::StreamExt;
use tonic::{Code, Request, Status, Streaming, body::Body, client::Grpc, transport::Channel};
use tower::{Layer, Service, ServiceBuilder, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError, ErrorKind,
    rejection::Rejection,
    replay::{NoReplay, ReplayBody},
};

use crate::{
    authenticated::{A_MINUTE, TestResult, large},
    grpc_service::{Echo, LATE, Raw, Received, STREAMING, UNARY},
};

type Authenticated = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;
type Client = Grpc<Authenticated>;

#[tokio::test]
async fn r1_an_answer_of_unauthenticated_without_a_message_is_replayed() -> TestResult {
    let (echo, channel) = echo().await?;
    let client = Grpc::new(authenticated(&layer(&echo)?, channel));
    let (small, large) = (Bytes::from_static(b"small"), large());
    for message in [&small, &small, &large] {
        if *message == large {
            assert_eq!(echo.issuer.requests(), 1, "one token serves until it is revoked");
            echo.issuer.revoke();
        }
        assert!(unary(&client, message).await? == *message);
    }
    assert_eq!(echo.issuer.requests(), 2);
    Ok(())
}

/// Without a rule for gRPC such an answer counts as accepted, since its HTTP status is 200.
#[tokio::test]
async fn r1_without_a_rule_for_grpc_nothing_is_replayed() -> TestResult {
    let (echo, channel) = echo().await?;
    let client = Grpc::new(authenticated(&builder(&echo).build()?, channel));
    unary(&client, &Bytes::new()).await?;
    echo.issuer.revoke();
    let refused = unary(&client, &Bytes::new()).await.err().map(|status| status.code());
    assert_eq!((refused, echo.issuer.requests()), (Some(Code::Unauthenticated), 1));
    Ok(())
}

#[tokio::test]
async fn s3_a_channel_needs_a_layer_that_allows_uris_without_a_host() -> TestResult {
    let (echo, channel) = echo().await?;
    let layer = AuthLayer::builder(echo.issuer.clone()).origin("https://api.example.com").build()?;
    let status = unary(&Grpc::new(authenticated(&layer, channel)), &Bytes::new()).await.err().ok_or("an answer")?;
    assert_eq!(AuthError::find(&status).map(AuthError::kind), Some(ErrorKind::Config), "{status}");
    assert!(status.message().contains("allow_relative_uri()"), "{status}");
    assert_eq!(echo.issuer.requests(), 0);
    Ok(())
}

/// Any HTTP/2 client will do in place of a `Channel`. Calls then name their server, and are held to the origins.
#[tokio::test]
async fn s3_over_another_client_than_a_channel() -> TestResult {
    let echo = Echo::new();
    let origin = format!("http://{}", echo.listen().await?);
    let pool = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    let pool = ServiceBuilder::new().map_response(|response: http::Response<_>| response.map(Body::new)).service(pool);
    for (allowed, code) in [(origin.as_str(), None), ("https://api.example.com", Some(Code::Unauthenticated))] {
        let layer = AuthLayer::builder(echo.issuer.clone()).origin(allowed).build()?;
        let mut client = Grpc::with_origin(authenticated(&layer, pool.clone()), origin.parse()?);
        client.ready().await?;
        let answer = client.unary(Request::new(Bytes::new()), PathAndQuery::from_static(UNARY), Raw).await;
        assert_eq!(answer.err().map(|status| status.code()), code);
    }
    Ok(())
}

/// An answer may come before the last message, so a request cannot be gathered.
#[tokio::test]
async fn streams_go_both_ways_at_the_same_time() -> TestResult {
    let (echo, channel) = echo().await?;
    let layer = rejecting(&echo).replay(NoReplay).build()?;
    let client = Grpc::new(BoxCloneSyncService::new(layer.layer(channel)));
    let (messages, receiver) = mpsc::channel(1);
    let mut answers = streaming(&client, receiver).await?;
    for word in ["one", "two", "three"] {
        messages.send(Bytes::from(word)).await?;
        assert_eq!(answers.next().await.transpose()?.as_deref(), Some(word.as_bytes()));
    }
    drop(messages);
    assert_eq!((answers.message().await?, echo.issuer.requests()), (None, 1));
    Ok(())
}

#[tokio::test]
async fn r4_a_refused_stream_is_replayed_from_what_was_kept() -> TestResult {
    let (echo, channel) = echo().await?;
    let client = recorded(&layer(&echo)?, channel);
    streaming(&client, mpsc::channel(1).1).await?;
    echo.issuer.revoke();
    let (messages, receiver) = mpsc::channel(1);
    messages.send(Bytes::from("one")).await?;
    let mut answers = streaming(&client, receiver).await?;
    messages.send(Bytes::from("two")).await?;
    drop(messages);
    for word in ["one", "two"] {
        assert_eq!(answers.next().await.transpose()?.as_deref(), Some(word.as_bytes()));
    }
    assert_eq!((answers.message().await?, echo.issuer.requests()), (None, 2));
    Ok(())
}

/// What was sent of a stream is gone. Its caller is told, and the next stream has a new token.
#[tokio::test]
async fn r7_a_refused_stream_renews_the_token_for_the_next() -> TestResult {
    let (echo, channel) = echo().await?;
    let layer = rejecting(&echo).replay(NoReplay).build()?;
    let client = Grpc::new(BoxCloneSyncService::new(layer.layer(channel)));
    streaming(&client, mpsc::channel(1).1).await?;
    echo.issuer.revoke();
    let refused = streaming(&client, mpsc::channel(1).1).await.err().map(|status| status.code());
    assert_eq!(refused, Some(Code::Unauthenticated));
    let renewed = async {
        while layer.handle().status().issued < 2 {
            yield_now().await;
        }
    };
    timeout(A_MINUTE, renewed).await?;
    streaming(&client, mpsc::channel(1).1).await?;
    assert_eq!(echo.issuer.requests(), 2);
    Ok(())
}

/// The messages of so far are with the caller, so nothing can be sent again. `TokenHandle::invalidate` tells the layer.
#[tokio::test]
async fn r12_a_status_in_the_trailers_of_a_begun_stream_is_for_the_caller_to_report() -> TestResult {
    let (echo, channel) = echo().await?;
    let layer = layer(&echo)?;
    let client = Grpc::new(authenticated(&layer, channel));
    let token = layer.handle().token().await?;
    echo.issuer.revoke();
    let mut begun = late(&client).await?;
    assert_eq!(begun.message().await?.as_deref(), Some(&b"begun"[..]));
    let end = begun.message().await.err().map(|status| status.code());
    assert_eq!((end, echo.issuer.requests()), (Some(Code::Unauthenticated), 1));

    layer.handle().invalidate(&token);
    let mut next = late(&client).await?;
    assert_eq!(next.message().await?.as_deref(), Some(&b"begun"[..]));
    assert_eq!((next.message().await?, echo.issuer.requests()), (None, 2));
    Ok(())
}

/// Where a short answer may be rejected in its trailers, a layer below waits for its end, and looks.
#[tokio::test]
async fn r1_an_inner_layer_finds_the_status_in_the_trailers_of_a_whole_answer() -> TestResult {
    let (echo, channel) = echo().await?;
    let client = Grpc::new(authenticated(
        &builder(&echo).build()?,
        ServiceBuilder::new().and_then(look_at_the_end).service(channel),
    ));
    for requests in 1..=2 {
        let mut answer = late(&client).await?;
        assert_eq!(answer.message().await?.as_deref(), Some(&b"begun"[..]));
        assert_eq!((answer.message().await?, echo.issuer.requests()), (None, requests));
        echo.issuer.revoke();
    }
    Ok(())
}

#[tokio::test]
async fn s9_trouble_with_the_token_can_be_told_from_the_status() -> TestResult {
    let (echo, channel) = echo().await?;
    let denied = AuthError::new(ErrorKind::Denied, "the client is locked");
    echo.issuer.set(|settings| settings.failure = Some(denied));
    let status =
        unary(&Grpc::new(authenticated(&layer(&echo)?, channel)), &Bytes::new()).await.err().ok_or("an answer")?;
    assert_eq!(AuthError::find(&status).map(AuthError::kind), Some(ErrorKind::Denied));
    assert_eq!((status.code(), status.message()), (Code::Unknown, "the client is locked"));
    Ok(())
}

async fn echo() -> Result<(Echo, Channel), BoxError> {
    let echo = Echo::new();
    let channel = Channel::from_shared(format!("http://{}", echo.listen().await?))?.connect_lazy();
    Ok((echo, channel))
}

/// A `Channel` adds the authority itself, so the URI of a request above it has no host.
fn builder(echo: &Echo) -> AuthLayerBuilder {
    AuthLayer::builder(echo.issuer.clone()).origin("https://api.example.com").allow_relative_uri()
}

fn rejecting(echo: &Echo) -> AuthLayerBuilder {
    builder(echo).reject_when(|head| (head.headers.get("grpc-status")? == "16").then_some(Rejection::Token))
}

fn layer(echo: &Echo) -> Result<AuthLayer, AuthError> {
    rejecting(echo).build()
}

/// For requests of one message: gathers their bodies, so that they can be sent again.
fn authenticated<S, E>(layer: &AuthLayer, service: S) -> Authenticated
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = E> + Clone + Send + Sync + 'static,
    S::Future: Send,
    E: Into<BoxError> + 'static,
{
    let gather = |request: http::Request<Body>| async {
        let (head, body) = request.into_parts();
        Ok::<_, Status>(http::Request::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    };
    let stack = ServiceBuilder::new()
        .filter_async(gather)
        .layer(layer.clone())
        .map_request(|request: http::Request<Full<Bytes>>| request.map(Body::new))
        .service(service);
    BoxCloneSyncService::new(stack)
}

/// For requests of any kind, as far as what goes before they are refused fits into a limit.
fn recorded(layer: &AuthLayer, channel: Channel) -> Client {
    let stack = ServiceBuilder::new()
        .map_request(|request: http::Request<Body>| request.map(|body| ReplayBody::new(body, 1024)))
        .layer(layer.clone())
        .map_request(|request: http::Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);
    Grpc::new(BoxCloneSyncService::new(stack))
}

async fn look_at_the_end(response: http::Response<Body>) -> Result<http::Response<Body>, tonic::transport::Error> {
    let (mut head, body) = response.into_parts();
    // A body that breaks off is handed on as far as it came: the caller then misses its end.
    let Ok(body) = body.collect().await else { return Ok(http::Response::from_parts(head, Body::empty())) };
    if body.trailers().and_then(|trailers| trailers.get("grpc-status")).is_some_and(|status| status == "16") {
        head.extensions.insert(Rejection::Token);
    }
    Ok(http::Response::from_parts(head, Body::new(body)))
}

async fn unary(client: &Client, message: &Bytes) -> Result<Bytes, Status> {
    let mut client = ready(client).await?;
    Ok(client.unary(Request::new(message.clone()), PathAndQuery::from_static(UNARY), Raw).await?.into_inner())
}

async fn streaming(client: &Client, messages: mpsc::Receiver<Bytes>) -> Result<Streaming<Bytes>, Status> {
    let (mut client, messages) = (ready(client).await?, Request::new(Received(messages)));
    Ok(client.streaming(messages, PathAndQuery::from_static(STREAMING), Raw).await?.into_inner())
}

/// A call whose answer begins whatever the token.
async fn late(client: &Client) -> Result<Streaming<Bytes>, Status> {
    let (mut client, message) = (ready(client).await?, Request::new(Bytes::from_static(b"begun")));
    Ok(client.server_streaming(message, PathAndQuery::from_static(LATE), Raw).await?.into_inner())
}

/// What generated clients do before each call.
async fn ready(client: &Client) -> Result<Client, Status> {
    let mut client = client.clone();
    client.ready().await.map_err(Status::from_error)?;
    Ok(client)
}

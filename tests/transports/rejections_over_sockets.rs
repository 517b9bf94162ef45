//! R2, R5, R9 and R10 over real sockets: revocations under load, and what becomes of connections.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, paynet,
    sandbox::{RejectionStyle, Sandbox},
};

use crate::{
    support::{
        Issuer,
        user::{Protocol, TestResult, User, narrow},
    },
    tokens_over_sockets::{PROTOCOLS, within_a_minute},
};

type OnlyConnection = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, hyper::Error>;

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_revocation_under_load_costs_one_token_request_and_no_failed_call() -> TestResult {
    for protocol in PROTOCOLS {
        for style in STYLES {
            let user = User::over(protocol, Sandbox::builder().rejection(style).start().await?)?;
            user.types().await?;
            user.load(50, 20, Some(500)).await?;
            let stats = user.sandbox.stats();
            assert_eq!((stats.token_requests, stats.accepted), (2, 1_001), "{protocol:?}, {style:?}");
            assert!(stats.rejected > 0, "the revocation was noticed");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_revocations_in_quick_succession_are_recovered_from_at_once() -> TestResult {
    for style in STYLES {
        let user = User::over(Protocol::Http1, Sandbox::builder().rejection(style).start().await?)?;
        user.types().await?;
        for revocations in 1..=3 {
            // They end before the next begin, as a second revocation may strike a request that is being sent again.
            user.load(50, 4, Some(100)).await?;
            assert_eq!(user.sandbox.stats().token_requests, 1 + revocations, "{style:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_large_upload_that_is_refused_half_way_is_replayed_and_nothing_hangs() -> TestResult {
    let issuer = Issuer::new();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(refuse_early(listener, issuer.clone()));
    let client = layer_of(&issuer, address)?.layer(narrow(Protocol::Http1));
    // More than the buffers of two sockets hold, so that the first sending is still under way when its answer comes.
    let upload = Bytes::from(vec![b'u'; 32 << 20]);

    for round in 1..=2 {
        issuer.revoke();
        let request = Request::post(format!("http://{address}/upload")).body(Full::new(upload.clone()))?;
        let response = within_a_minute(client.clone().oneshot(request)).await??;
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().collect().await?.to_bytes(), (32 << 20).to_string());
        assert_eq!(issuer.requests(), round);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_the_connection_of_a_long_401_is_used_again() -> TestResult {
    let issuer = Issuer::new();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(refuse_at_length(listener, issuer.clone()));
    let client = layer_of(&issuer, address)?.layer(only_connection(&address.to_string()).await?);
    for round in 1..=3 {
        let response = client.clone().oneshot(Request::get("/").body(Full::default())?).await?;
        assert_eq!((response.status(), issuer.requests()), (StatusCode::OK, round));
        response.into_body().collect().await?;
        issuer.revoke();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_a_revocation_costs_no_connection_but_that_of_the_token_request() -> TestResult {
    for style in STYLES {
        let sandbox = Sandbox::builder().rejection(style).start().await?;
        let authority = sandbox.environment().api_origin().trim_start_matches("http://").to_owned();
        let layer = paynet::auth(&sandbox.environment(), sandbox.credentials())?.allow_relative_uri().build()?;
        let client = layer.layer(paynet::RejectionLayer.layer(only_connection(&authority).await?));
        for _ in 0..4 {
            let request = Request::get("/v1/reports/types").header(HOST, &authority).body(Full::default())?;
            let response = client.clone().oneshot(request).await?;
            assert_eq!(response.status(), 200, "{style:?}");
            response.into_body().collect().await?;
            sandbox.revoke_tokens();
        }
        let stats = sandbox.stats();
        assert_eq!((stats.token_requests, stats.connections), (4, 1 + 4), "{style:?}");
    }
    Ok(())
}

fn layer_of(issuer: &Issuer, address: SocketAddr) -> Result<AuthLayer, AuthError> {
    issuer.set(|settings| settings.latency = Duration::ZERO);
    AuthLayer::builder(issuer.clone()).origin(&format!("http://{address}")).allow_relative_uri().build()
}

/// A client with one HTTP/1.1 connection, which fails once that is closed: a pool would quietly open another.
async fn only_connection(address: &str) -> Result<OnlyConnection, BoxError> {
    let (sender, connection) = client::conn::http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    let sender = Arc::new(Mutex::new(sender));
    Ok(BoxCloneSyncService::new(tower::service_fn(move |request| {
        let sender = Arc::clone(&sender);
        async move {
            let mut sender = sender.lock().await;
            sender.ready().await?;
            sender.send_request(request).await
        }
    })))
}

/// Answers 401 as soon as it has seen a wrong token; then reads nothing more, and keeps the connection open.
async fn refuse_early(listener: TcpListener, issuer: Issuer) -> TestResult {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(receive_upload(stream, issuer.clone()));
    }
}

async fn receive_upload(mut stream: TcpStream, issuer: Issuer) -> TestResult {
    let mut received = Vec::new();
    let head_end = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        stream.read_buf(&mut received).await?;
    };
    let head = String::from_utf8_lossy(received.get(..head_end).unwrap_or_default()).to_lowercase();
    let field =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    if !issuer.knows(&field("authorization:").replace("bearer", "Bearer")) {
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await?;
        return pending().await;
    }
    let length: usize = field("content-length:").parse()?;
    let whole = head_end + 4 + length;
    while received.len() < whole && stream.read_buf(&mut received).await? > 0 {}
    let body = (received.len() - head_end - 4).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Ok(stream.write_all(answer.as_bytes()).await?)
}

/// Answers a wrong token with a 401 that is too long to be read by the way.
async fn refuse_at_length(listener: TcpListener, issuer: Issuer) -> TestResult {
    loop {
        let (stream, _) = listener.accept().await?;
        let issuer = issuer.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            let known = token.is_some_and(|token| issuer.knows(token));
            let (status, length) = if known { (200, 2) } else { (401, 60 << 10) };
            let response = Response::builder().status(status).body(Full::new(Bytes::from(vec![b'x'; length])));
            async move { response }
        });
        tokio::spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

const STYLES: [RejectionStyle; 2] = [RejectionStyle::Documented400, RejectionStyle::Unauthorized401];

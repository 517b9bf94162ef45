//! What is promised holds over real connections: under load, through revocations, and when the network fails.
#![cfg(all(feature = "sandbox", feature = "client"))]
#![expect(
    clippy::disallowed_methods,
    reason = "real sockets need real time: as the limit of a test, not to hit a moment"
)]

mod support;
#[path = "support/user.rs"]
mod user;

use std::{
    future::{Future, pending},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use support::Issuer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, ErrorKind, RefreshPolicy, paynet,
    sandbox::{Fault, FaultKind, RejectionStyle, Sandbox},
};
use user::{Protocol, TestResult, User, narrow};

type OnlyConnection = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, hyper::Error>;

#[tokio::test(flavor = "multi_thread")]
async fn t1_a_thousand_cold_callers_cost_one_token_request() -> TestResult {
    for protocol in PROTOCOLS {
        let user = User::over(protocol, Sandbox::start().await?)?;
        // Long enough for all of them to arrive; should some come later, they find the token.
        user.sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_millis(500))));
        user.load(1_000, 1, None).await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.accepted, stats.rejected), (1, 1_000, 0), "{protocol:?}");
        assert_eq!(stats.credentials_leaked, 0);
    }
    Ok(())
}

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
async fn r5_revocations_in_quick_succession_heal_at_once() -> TestResult {
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
async fn r10_a_large_upload_that_is_refused_half_way_is_sent_again_and_nothing_hangs() -> TestResult {
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
        let layer = paynet::auth(&sandbox.environment(), sandbox.credentials())?.build()?;
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

#[tokio::test(flavor = "multi_thread")]
async fn t9_a_token_endpoint_that_stumbles_once_is_asked_again_and_no_caller_notices() -> TestResult {
    let answer = |number| StatusCode::from_u16(number).map(FaultKind::Status);
    let again = FaultKind::RetryAfter(StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(1));
    let troubles = [
        FaultKind::Reset,
        FaultKind::CutOff,
        FaultKind::Latency(HOUR),
        answer(408)?,
        answer(425)?,
        answer(429)?,
        answer(500)?,
        answer(503)?,
        again,
    ];
    for trouble in troubles {
        let user = User::impatient(Sandbox::start().await?, |auth| auth)?;
        user.sandbox.inject(Fault::token(trouble.clone()));
        user.load(20, 1, None).await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.rejected), (2, 0), "{trouble:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t9_t3_a_token_endpoint_that_keeps_failing_gives_every_caller_the_error_of_its_kind() -> TestResult {
    let answer = |number| StatusCode::from_u16(number).map(FaultKind::Status);
    let in_an_hour = FaultKind::RetryAfter(StatusCode::TOO_MANY_REQUESTS, HOUR);
    let cases = [
        (FaultKind::Reset, ErrorKind::Unavailable, 3),
        (FaultKind::CutOff, ErrorKind::Unavailable, 3),
        (FaultKind::Latency(HOUR), ErrorKind::Timeout, 3),
        (answer(503)?, ErrorKind::Unavailable, 3),
        (answer(400)?, ErrorKind::Denied, 1),
        (answer(302)?, ErrorKind::Malformed, 1),
        (FaultKind::Malformed, ErrorKind::Malformed, 1),
        (in_an_hour, ErrorKind::Unavailable, 1),
    ];
    for (trouble, kind, tries) in cases {
        let policy = RefreshPolicy::default().cool_down(Duration::from_secs(600), Duration::from_secs(600));
        let user = User::impatient(Sandbox::start().await?, |auth| auth.refresh(policy))?;
        user.sandbox.inject(Fault::token(trouble.clone()).times(tries));
        for error in user.failures(20).await? {
            assert_eq!(error.kind(), kind, "{trouble:?}");
            assert!(error.retry_after() > Some(Duration::from_secs(60)), "{trouble:?}: {:?}", error.retry_after());
        }
        // T8: whoever comes later is told at once. Nothing went out without a token.
        user.failures(1).await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.api_requests), (tries.into(), 0), "{trouble:?}");
        // O4: and it is not for ever.
        user.handle.refresh().await?;
        user.types().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_a_caller_that_comes_back_when_it_is_told_to_is_served() -> TestResult {
    let policy = RefreshPolicy::default().attempts(1).cool_down(Duration::from_millis(5), Duration::from_millis(5));
    for _ in 0..150 {
        let user = User::impatient(Sandbox::start().await?, |auth| auth.refresh(policy.clone()))?;
        user.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)));
        let error = user.failures(1).await?.remove(0);
        sleep(error.retry_after().ok_or("no word on when to come back")?).await;
        user.types().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_a_silent_token_endpoint_costs_no_more_than_the_deadline() -> TestResult {
    let policy = RefreshPolicy::default().deadline(Duration::from_millis(300));
    let user = User::with(Protocol::Http1, Sandbox::start().await?, HOUR, |auth| auth.refresh(policy))?;
    user.sandbox.inject(Fault::token(FaultKind::Latency(HOUR)));
    let errors = user.failures(20).await?;
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Timeout), "{errors:?}");
    assert_eq!(user.sandbox.stats().token_requests, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s7_a_caller_that_will_not_wait_fails_and_its_token_comes_all_the_same() -> TestResult {
    let user = User::with(Protocol::Http1, Sandbox::start().await?, HOUR, |auth| auth.max_wait(Duration::ZERO))?;
    user.sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_secs(1))));
    for error in user.failures(5).await? {
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    user.handle.token().await?;
    user.types().await?;
    assert_eq!(user.sandbox.stats().token_requests, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t4_an_outage_of_the_token_endpoint_is_not_noticed_while_the_token_lives() -> TestResult {
    // The token is old after some milliseconds, and lives for an hour.
    let policy = RefreshPolicy::default().refresh_at(1e-6).jitter(0.0);
    let user = User::impatient(Sandbox::start().await?, |auth| auth.refresh(policy))?;
    user.types().await?;
    user.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)).times(3));
    let failed = async {
        while user.handle.status().failures == 0 {
            user.load(10, 5, None).await?;
        }
        TestResult::Ok(())
    };
    within_a_minute(failed).await??;
    assert_eq!(user.handle.status().last_error.map(|error| error.kind()), Some(ErrorKind::Unavailable));
    let renewed = async {
        while user.handle.status().issued < 2 {
            user.load(10, 5, None).await?;
        }
        TestResult::Ok(())
    };
    within_a_minute(renewed).await??;
    assert_eq!(user.sandbox.stats().rejected, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_token_of_two_seconds_is_used_for_most_of_them() -> TestResult {
    let sandbox = Sandbox::builder().token_lifetime(Duration::from_secs(2)).start().await?;
    let user = User::over(Protocol::Http1, sandbox)?;
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        user.load(8, 4, None).await?;
        // Leaves the machine some air: a request that is sent in time must also arrive in time.
        sleep(Duration::from_millis(5)).await;
    }
    let stats = user.sandbox.stats();
    assert_eq!((stats.rejected, stats.api_requests), (0, stats.accepted));
    assert!((3..=5).contains(&stats.token_requests), "{stats:?}");
    Ok(())
}

#[test]
fn t11_one_layer_serves_several_runtimes_one_after_the_other() -> TestResult {
    let servers = Runtime::new()?;
    let sandbox = Arc::new(servers.block_on(Sandbox::start())?);
    let layer = paynet::auth(&sandbox.environment(), sandbox.credentials())?.build()?;
    for round in 1..=3 {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(User::new(Protocol::Http1, &sandbox, &layer).types())?;
        assert_eq!(layer.handle().status().issued, round);
        sandbox.revoke_tokens();
    }

    // T2: a runtime that ends in the middle of a flight leaves nothing stuck.
    sandbox.inject(Fault::token(FaultKind::Latency(HOUR)));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let call =
        async { timeout(Duration::from_millis(200), User::new(Protocol::Http1, &sandbox, &layer).types()).await };
    assert!(runtime.block_on(call).is_err(), "an answer without a token");
    drop(runtime);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(User::new(Protocol::Http1, &sandbox, &layer).types())
}

fn layer_of(issuer: &Issuer, address: SocketAddr) -> Result<AuthLayer, AuthError> {
    issuer.set(|settings| settings.latency = Duration::ZERO);
    AuthLayer::builder(issuer.clone()).origin(&format!("http://{address}")).build()
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

/// The future's output, or an error in place of a test that hangs.
async fn within_a_minute<F: Future>(future: F) -> Result<F::Output, BoxError> {
    Ok(timeout(Duration::from_secs(60), future).await?)
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const STYLES: [RejectionStyle; 2] = [RejectionStyle::Documented400, RejectionStyle::Unauthorized401];
const HOUR: Duration = Duration::from_secs(3600);

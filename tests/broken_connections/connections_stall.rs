//! A connection that is held up, or that leads nowhere: each wait ends with its own bound.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use tokio::{net::TcpListener, time::timeout};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, Credentials, ErrorKind,
    client::HttpsClient,
    oauth::ClientCredentialsGrant,
    rejection::NotReplayed,
    token::{FetchRequest, RefreshPolicy, TokenSource},
};

use crate::{
    TestResult, check, each,
    proxy::{Fault, Kind, Proxy, Side},
    server::{self, Framing, REVOKED},
    user::{Answer, OK, User, source},
};

#[cfg(target_os = "linux")]
use {
    crate::user::is_of_transport,
    http::Request,
    http_body_util::Empty,
    tokio::net::{TcpSocket, TcpStream},
    tower::Service,
};

#[tokio::test]
async fn t9_a_token_exchange_that_is_held_up_anywhere_takes_its_timeout_and_each_fetch_its_tries() -> TestResult {
    let server = server::listen().await?;
    each(faults(), |fault| async move {
        let proxy = Proxy::before(server, &[Some(fault); 9]).await?;
        let source = source(&proxy, Framing::Length).timeout(A_WHILE).build()?;
        let layer = patient(source).build()?;
        let error = layer.handle().token().await.err().ok_or("a token all the same")?;
        check(error.kind() == ErrorKind::Timeout && error.is_transient(), &error)?;
        check(proxy.connections() == 3 && proxy.count("POST ") <= 3, proxy.connections())
    })
    .await
}

#[tokio::test]
async fn t2_a_fetch_ends_with_its_deadline_wherever_it_is_held_up() -> TestResult {
    let server = server::listen().await?;
    each(faults(), |fault| async move {
        let proxy = Proxy::before(server, &[Some(fault); 9]).await?;
        // Its own timeout is 10 s.
        let policy = RefreshPolicy::default().deadline(A_WHILE);
        let layer =
            AuthLayer::builder(source(&proxy, Framing::Length).build()?).any_origin().refresh(policy).build()?;
        let failed = timeout(Duration::from_secs(5), layer.handle().token()).await?;
        let error = failed.err().ok_or("a token all the same")?;
        check(error.kind() == ErrorKind::Timeout && proxy.connections() == 1, &error)
    })
    .await
}

#[tokio::test]
async fn a_pause_within_the_timeout_costs_nothing_but_time() -> TestResult {
    let server = server::listen().await?;
    let of = |side| [0, 30, 1_000, 2_000].map(|at| Fault { side, at, kind: Kind::Pause(A_WHILE) });
    each(of(Side::Request).into_iter().chain(of(Side::Answer)), |fault| async move {
        let proxy = Proxy::before(server, &[Some(fault)]).await?;
        source(&proxy, Framing::Length).build()?.fetch(FetchRequest::new()).await?;
        check(proxy.connections() == 1 && proxy.count("POST ") == 1, proxy.connections())?;
        let proxy = Proxy::before(server, &[Some(fault)]).await?;
        let user = User::new(&proxy, &HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?)?;
        check(user.call("/one").await? == OK && proxy.count("Bearer ") == 1, "the call")
    })
    .await
}

#[tokio::test]
async fn a_call_that_is_held_up_anywhere_ends_with_the_timeout_around_it_and_is_sent_once() -> TestResult {
    let server = server::listen().await?;
    let transport = HttpsClient::builder().pool_idle_timeout(Duration::from_secs(60)).build()?;
    each(faults(), |fault| {
        let transport = transport.clone();
        async move {
            let proxy = Proxy::before(server, &[Some(fault)]).await?;
            let user = User::new(&proxy, &transport)?;
            // As `tower::timeout` around the whole stack, and around the reading of the answer.
            let held_up = timeout(A_WHILE, user.call("/one")).await;
            check(held_up.is_err(), &held_up)?;
            // No call gets the connection that is held up.
            check(user.call("/two").await? == OK, "the second call")?;
            check(proxy.count("POST /one") <= 1 && proxy.connections() == 2, proxy.connections())?;
            check(user.issuer.requests() == 1, user.issuer.requests())
        }
    })
    .await
}

#[tokio::test]
async fn r9_a_401_whose_body_is_held_up_is_replayed_all_the_same() -> TestResult {
    let server = server::listen().await?;
    each(faults().filter(|fault| fault.side == Side::Answer && fault.at >= 500), |fault| async move {
        let proxy = Proxy::before(server, &[Some(fault)]).await?;
        let user = User::new(&proxy, &HttpsClient::builder().pool_idle_timeout(Duration::from_secs(60)).build()?)?;
        check(user.call(REVOKED).await? == OK, "the call")?;
        check(proxy.connections() == 2 && user.issuer.requests() == 2, proxy.connections())
    })
    .await
}

#[tokio::test]
async fn s7_a_call_waits_for_a_held_up_token_no_longer_than_it_may() -> TestResult {
    let server = server::listen().await?;
    each(faults(), |fault| async move {
        let (api, transport) =
            (Proxy::before(server, &[]).await?, HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?);
        let tokens = Proxy::before(server, &[Some(fault); 9]).await?;
        let layer =
            patient(source(&tokens, Framing::Length).build()?).origin(&api.origin()).max_wait(A_WHILE).build()?;
        let error = User::of(&api, &transport, &layer).call("/one").await.err().ok_or("an answer all the same")?;
        let kind = AuthError::find(error.as_ref()).map(AuthError::kind);
        check(kind == Some(ErrorKind::Timeout) && api.connections() == 0, &error)?;

        let tokens = Proxy::before(server, &[None, Some(fault)]).await?;
        let layer =
            patient(source(&tokens, Framing::Length).build()?).origin(&api.origin()).max_wait(A_WHILE).build()?;
        let answer = User::of(&api, &transport, &layer).call(server::NEVER).await?;
        let refused = Answer { status: StatusCode::UNAUTHORIZED, not_replayed: Some(NotReplayed::FetchFailed) };
        check(answer == refused && api.connections() == 1, answer)
    })
    .await
}

#[tokio::test]
async fn a_server_that_never_reads_its_connections_costs_an_exchange_its_timeout() -> TestResult {
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    check_bound(silent.local_addr()?).await
}

/// As behind a firewall that swallows packets.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_no_connection_comes_about_to_costs_an_exchange_its_timeout() -> TestResult {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let full = socket.listen(0)?;
    let (address, mut queue) = (full.local_addr()?, Vec::new());
    while let Ok(stream) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        queue.push(stream?);
    }
    check_bound(address).await?;
    // The transport's own bound for a connection, of 5 s.
    let request = Request::get(format!("http://{address}/")).body(Empty::new())?;
    let connecting = HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?.call(request);
    let error = timeout(Duration::from_secs(15), connecting).await?.err().ok_or("an answer all the same")?;
    check(is_of_transport(&error), &error)
}

async fn check_bound(address: SocketAddr) -> TestResult {
    let url = format!("http://{address}/token");
    let source =
        ClientCredentialsGrant::builder(&url, Credentials::new("client", "secret")).timeout(A_WHILE).build()?;
    let failed = timeout(Duration::from_secs(15), patient(source).build()?.handle().token()).await?;
    let error = failed.err().ok_or("a token all the same")?;
    check(error.kind() == ErrorKind::Timeout && error.is_transient(), &error)
}

/// A fetch of this layer may take as long as it likes.
fn patient(source: ClientCredentialsGrant) -> AuthLayerBuilder {
    let rest = Duration::from_secs(600);
    AuthLayer::builder(source).any_origin().refresh(RefreshPolicy::default().failure_backoff(rest, rest))
}

fn faults() -> impl Iterator<Item = Fault> {
    let kinds = [Kind::Stall, Kind::HalfOpen, Kind::Trickle(Duration::from_millis(50))];
    let at = [0, 1, 20, 500, 2_047];
    let of = move |side| at.into_iter().flat_map(move |at| kinds.map(|kind| Fault { side, at, kind }));
    of(Side::Request).chain(of(Side::Answer))
}

/// Longer than an exchange takes on a busy machine, and short enough to wait for.
const A_WHILE: Duration = Duration::from_millis(700);

//! Names that have no address for a while, or one that leads nowhere.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpSocket, time::timeout};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    client::HttpsClient,
    oauth::ClientCredentialsGrant,
    token::{FetchRequest, RefreshPolicy, TokenHandle, TokenSource},
};

use crate::{
    A_HANG, TestResult,
    resolver::{Lookup, Resolver},
    server::Server,
};

type Http = Client<HttpConnector<Resolver>, Full<Bytes>>;

struct User {
    server: Server,
    client: Auth<Http>,
    handle: TokenHandle,
    url: String,
}

impl User {
    /// The API's names are looked up by one resolver, those of the token server by another.
    async fn new(tokens: &Resolver, api: &Resolver) -> Result<Self, BoxError> {
        let server = Server::new(Duration::from_secs(3_600), Duration::ZERO);
        let port = server.listen("127.0.0.1:0").await?.port();
        let origin = format!("http://api.example.com:{port}");
        let rest = Duration::from_secs(600);
        let source = source("login.example.com", port, tokens)?;
        let layer = AuthLayer::builder(source)
            .origin(&origin)
            .allow_insecure_http()
            .refresh(RefreshPolicy::default().failure_backoff(rest, rest))
            .build()?;
        Ok(Self { server, client: layer.layer(http(api)), handle: layer.handle(), url: format!("{origin}/api") })
    }

    async fn call(&self) -> Result<StatusCode, BoxError> {
        let request = Request::get(&self.url).body(Full::default())?;
        Ok(timeout(A_HANG, self.client.clone().oneshot(request)).await??.status())
    }

    async fn failure(&self) -> Result<AuthError, BoxError> {
        let error = self.call().await.err().ok_or("an answer all the same")?;
        Ok(AuthError::find(error.as_ref()).ok_or("another error")?.clone())
    }
}

#[tokio::test]
async fn t9_a_name_that_is_not_found_twice_is_looked_up_again_and_no_caller_notices() -> TestResult {
    let tokens = Resolver::new(here()).at_first(&[Lookup::Fails, Lookup::Fails]);
    let user = User::new(&tokens, &Resolver::new(here())).await?;
    assert_eq!(user.call().await?, StatusCode::OK);
    assert_eq!((tokens.asked(), user.server.seen().token_requests), (3, 1));
    Ok(())
}

#[tokio::test]
async fn t8_a_name_that_is_not_found_fails_the_fetch_until_it_is_found_again() -> TestResult {
    let tokens = Resolver::new(Lookup::Fails);
    let user = User::new(&tokens, &Resolver::new(here())).await?;
    for _ in 0..3 {
        let error = user.failure().await?;
        assert!(error.kind() == ErrorKind::Unavailable && error.is_transient(), "{error:?}");
        assert_eq!(tokens.asked(), 3, "three tries of one fetch, and a rest");
    }
    tokens.set(here());
    user.handle.refresh().await?;
    assert_eq!(user.call().await?, StatusCode::OK);
    assert_eq!(user.server.seen().token_requests, 1);
    Ok(())
}

#[tokio::test]
async fn t9_a_lookup_that_never_ends_costs_its_exchange_the_timeout() -> TestResult {
    let tokens = Resolver::new(here()).at_first(&[Lookup::NeverEnds, Lookup::NeverEnds]);
    let user = User::new(&tokens, &Resolver::new(here())).await?;
    assert_eq!(user.call().await?, StatusCode::OK);
    tokens.set(Lookup::NeverEnds);
    let error = user.handle.refresh().await.err().ok_or("a token all the same")?;
    assert_eq!((error.kind(), tokens.asked()), (ErrorKind::Timeout, 6));
    Ok(())
}

#[tokio::test]
async fn a_name_of_the_api_that_is_not_found_fails_the_call_and_says_nothing_of_the_token() -> TestResult {
    let api = Resolver::new(Lookup::Fails);
    let user = User::new(&Resolver::new(here()), &api).await?;
    let error = user.call().await.err().ok_or("an answer all the same")?;
    assert!(error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect), "{error:?}");
    api.set(here());
    assert_eq!(user.call().await?, StatusCode::OK);
    let seen = user.server.seen();
    assert_eq!((seen.token_requests, seen.calls, seen.dead), (1, 1, 0));
    Ok(())
}

#[tokio::test]
#[ignore = "takes a machine with IPv6"]
async fn a_token_server_on_ipv6_alone_is_reached() -> TestResult {
    let server = Server::new(Duration::from_secs(3_600), Duration::ZERO);
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    // Its port on IPv4 is taken, by who refuses connections until it listens.
    let (address, taken) = loop {
        let (address, socket) = (server.listen("[::1]:0").await?, TcpSocket::new_v4()?);
        if socket.bind((v4, address.port()).into()).is_ok() {
            break (address, socket);
        }
    };
    // By its address, over the ready-made transport.
    let (origin, credentials) = (format!("http://{address}"), Credentials::new("client", "secret"));
    let by_address = ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials).build()?;
    let client = AuthLayer::builder(by_address)
        .origin(&origin)
        .build()?
        .layer(HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?);
    let request = Request::get(format!("{origin}/api")).body(Full::<Bytes>::default())?;
    assert_eq!(client.oneshot(request).await?.status(), StatusCode::OK);
    // By a name, whose other address refuses connections, or lets none come about.
    let ask = async |addresses: &[IpAddr]| {
        let resolver = Resolver::new(Lookup::Gives(addresses.to_vec()));
        let source = source("login.example.com", address.port(), &resolver)?;
        Ok::<_, BoxError>(timeout(Duration::from_secs(5), source.fetch(FetchRequest::new())).await?)
    };
    for addresses in [&[v6][..], &[v4, v6], &[v6, v4]] {
        ask(addresses).await??;
    }
    let error = ask(&[v4]).await?.err().ok_or("a token all the same")?;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let (full, mut queue) = (taken.listen(0)?, Vec::new());
    while let Ok(stream) = timeout(Duration::from_millis(500), tokio::net::TcpStream::connect(full.local_addr()?)).await
    {
        queue.push(stream?);
    }
    for addresses in [[v4, v6], [v6, v4]] {
        ask(&addresses).await??;
    }
    Ok(())
}

fn source(host: &str, port: u16, resolver: &Resolver) -> Result<ClientCredentialsGrant, AuthError> {
    let url = format!("http://{host}:{port}/token");
    let source = ClientCredentialsGrant::builder(&url, Credentials::new("client", "secret")).allow_insecure_http();
    source.timeout(Duration::from_millis(1_500)).transport(http(resolver)).build()
}

/// Keeps no connection, so that each exchange looks the name up.
fn http(resolver: &Resolver) -> Http {
    let connector = HttpConnector::new_with_resolver(resolver.clone());
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

fn here() -> Lookup {
    Lookup::Gives(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
}

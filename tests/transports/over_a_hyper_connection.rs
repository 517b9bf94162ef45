//! hyper's `conn` API: one connection to one server, whose requests may have a path for a URI.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};
use tower::{Layer, Service, ServiceExt, buffer::Buffer};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, ErrorKind, oauth::ClientCredentialsGrant, rejection::NotReplayed,
    token::RefreshPolicy,
};

use crate::{
    authenticated::{A_MINUTE, TestResult, is_authenticated},
    support::server::{NAME, Server},
};

/// What turns a sender of hyper into a Tower service.
#[derive(Clone)]
pub(crate) struct Connection<T>(pub(crate) T);

impl Service<Request<Full<Bytes>>> for Connection<http1::SendRequest<Full<Bytes>>> {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl Service<Request<Full<Bytes>>> for Connection<http2::SendRequest<Full<Bytes>>> {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// An HTTP/1.1 sender is not `Clone`. `Buffer` is, and lets one request after the other use it.
#[tokio::test]
async fn s3_over_one_connection_of_http_1_with_nothing_but_a_path() -> TestResult {
    let server = Server::new();
    let stream = TcpStream::connect(server.listen().await?).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let client = server.builder(HERE).allow_relative_uri().build()?.layer(Buffer::new(Connection(sender), 16));
    is_authenticated(client, "/upload?part=1", &server, Version::HTTP_11).await?;
    assert!(server.hosts().iter().all(|host| host.as_deref() == Some(NAME)));
    Ok(())
}

#[tokio::test]
async fn s3_over_one_connection_of_http_2_with_nothing_but_a_path() -> TestResult {
    let server = Server::new();
    let stream = TcpStream::connect(server.listen().await?).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let client = server.builder(HERE).allow_relative_uri().build()?.layer(Connection(sender));
    is_authenticated(client, "/upload?part=1", &server, Version::HTTP_2).await?;
    assert!(server.hosts().iter().all(|host| host.as_deref() == Some(NAME)));
    Ok(())
}

/// With an authority in it, a URI is held to the origins, whatever the connection leads to.
#[tokio::test]
async fn s3_a_uri_that_names_another_server_gets_no_token_on_this_connection_either() -> TestResult {
    let server = Server::new();
    let stream = TcpStream::connect(server.listen().await?).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let layer = server.builder(HERE).allow_relative_uri().build()?;
    let client = layer.layer(Buffer::new(Connection(sender), 16));
    let request = Request::get("https://api.example.com/").body(Full::default())?;
    let response = client.oneshot(request).await?;
    assert_eq!((response.status().as_u16(), server.issuer.requests()), (401, 0));
    Ok(())
}

#[tokio::test]
async fn s3_a_path_alone_is_sent_where_that_is_allowed_and_its_host_is_an_origin() -> TestResult {
    let server = Server::new();
    let stream = TcpStream::connect(server.listen().await?).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let connection = Buffer::new(Connection(sender), 16);
    let allowed = server.builder(HERE).allow_relative_uri().build()?;
    for (layer, path, host) in
        [(server.layer(HERE)?, "/", NAME), (allowed.clone(), "/", "api.example.com"), (allowed.clone(), "//a/b", NAME)]
    {
        let request = Request::get(path).header(HOST, host).body(Full::default())?;
        let error = layer.layer(connection.clone()).oneshot(request).await.err();
        let kind = error.as_deref().and_then(|error| Some(AuthError::find(error)?.kind()));
        assert_eq!((kind, server.hosts().len()), (Some(ErrorKind::Config), 0), "{path} at {host}");
    }
    let request = Request::get("/").header(HOST, NAME).body(Full::default())?;
    assert_eq!(allowed.layer(connection).oneshot(request).await?.status(), 200);
    Ok(())
}

/// HTTP/1.1 has one response after the other: while a rejected one is unread, no token request can be sent behind it, and
/// it is not given up before there is a token, since without one it is the caller's. So the guide says.
#[tokio::test]
async fn r9_one_connection_of_http_1_for_tokens_too_returns_a_long_rejection_as_it_is() -> TestResult {
    for (length, is_served) in [(100, true), (40_000, false), (300_000, false)] {
        let server = Server::new().with_refusals_of(length);
        let (url, client) = one_connection(&server).await?;
        let grant = |client| {
            let grant = ClientCredentialsGrant::builder(&format!("{url}/token"), Credentials::new("id", "key"));
            grant.timeout(Duration::from_millis(500)).transport(client).build()
        };
        let layer = AuthLayer::builder(grant(client.clone())?).origin(&url);
        let policy = RefreshPolicy::default().attempts(1).failure_backoff(Duration::ZERO, Duration::ZERO);
        let layer = layer.refresh(policy).build()?;
        assert_eq!(call(&layer, &client, &url).await?.0, 200);
        server.issuer.revoke();
        let (status, mark, body) = call(&layer, &client, &url).await?;
        if is_served {
            assert_eq!((status, mark), (200, None), "{length} bytes");
        } else {
            assert_eq!((status, mark, body), (401, Some(NotReplayed::FetchFailed), length), "whole, and in time");
        }
        // With a connection of their own for tokens there is nothing to wait for.
        let (url, client) = one_connection(&server).await?;
        let (_, for_tokens) = one_connection(&server).await?;
        let grant = ClientCredentialsGrant::builder(&format!("{url}/token"), Credentials::new("id", "key"));
        let layer = AuthLayer::builder(grant.transport(for_tokens).build()?).origin(&url).build()?;
        assert_eq!(call(&layer, &client, &url).await?.0, 200);
        server.issuer.revoke();
        // A body of over 64 KiB is not read to its end, which ends the connection.
        let second = call(&layer, &client, &url).await;
        assert_eq!(second.is_ok_and(|(status, ..)| status == 200), length < 64 * 1024, "{length} bytes");
    }
    Ok(())
}

type OneConnection =
    Buffer<Request<Full<Bytes>>, Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>>;

async fn one_connection(server: &Server) -> Result<(String, OneConnection), BoxError> {
    let address = server.listen().await?;
    let (sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    Ok((format!("http://{address}"), Buffer::new(Connection(sender), 16)))
}

/// The status, the mark, and the length of the body.
async fn call(
    layer: &AuthLayer,
    client: &OneConnection,
    url: &str,
) -> Result<(u16, Option<NotReplayed>, usize), BoxError> {
    let host = url.trim_start_matches("http://");
    let request = Request::get(format!("{url}/a")).header(HOST, host).body(Full::default())?;
    let exchange = async {
        let (head, body) = layer.layer(client.clone()).oneshot(request).await?.into_parts();
        let length = body.collect().await?.to_bytes().len();
        Ok((head.status.as_u16(), head.extensions.get().copied(), length))
    };
    timeout(A_MINUTE, exchange).await?
}

/// What is on the other end of a connection, as far as the layer is told.
const HERE: &str = "http://localhost";

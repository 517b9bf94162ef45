//! Demonstration: tonic inside the layer: single messages, streams, and how gRPC rejects a token. Counted at a server in
//! this process.
//!
//! ```text
//! cargo run --example tonic
//! ```
//!
//! - gRPC rejects with `UNAUTHENTICATED` (`grpc-status: 16`) and HTTP status 200, so the layer needs a rule: `reject_when` in
//!   `auth` below. The rule sees a status in the headers, where tonic and others put it if nothing was sent before. A status
//!   in trailers comes too late for a replay: call `TokenHandle::invalidate`, and the next call gets a new token.
//! - A tonic body is not `Clone`. Each goes into a `ReplayBody`, which keeps what is sent of it, up to a limit.
//! - Calls have no host above a `Channel`, hence `allow_relative_uri`.
//!
//! With a generated client instead of `Grpc`: `GreeterClient::new(client(..))`.

#[path = "support/count.rs"]
mod count;
mod support;

use std::{future::ready, net::SocketAddr};

use bytes::{Buf, BufMut, Bytes};
use count::Count;
use http::{header::AUTHORIZATION, response::Parts, uri::PathAndQuery};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use support::{conclude, figure, report};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tower::{ServiceBuilder, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant, rejection::Rejection,
    replay::ReplayBody,
};

type Client = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

fn auth(server: &Server) -> Result<AuthLayer, AuthError> {
    let server = server.clone();
    let transport =
        tower::service_fn(move |_: http::Request<Full<Bytes>>| ready(Ok::<_, BoxError>(server.issue_token())));
    let credentials = Credentials::new("my-client", "my-secret");
    let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(transport);
    AuthLayer::builder(grant.build()?)
        .origin("https://api.example.com")
        .allow_relative_uri()
        .reject_when(unauthenticated)
        .build()
}

fn unauthenticated(head: &Parts) -> Option<Rejection> {
    (head.headers.get("grpc-status")? == "16").then_some(Rejection::Token)
}

fn client(auth: AuthLayer, channel: Channel) -> Client {
    let stack = ServiceBuilder::new()
        .map_request(|request: http::Request<Body>| request.map(|body| ReplayBody::new(body, REPLAY_LIMIT)))
        .layer(auth)
        .map_request(|request: http::Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);
    BoxCloneSyncService::new(stack)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = Server::default();
    let channel = Channel::from_shared(format!("http://{}", server.listen().await?))?.connect_lazy();
    let client = &mut Grpc::new(client(auth(&server)?, channel));
    conclude(&[
        single_messages(&server, client).await?,
        rejected_message(&server, client).await?,
        stream_of_messages(&server, client).await?,
        rejected_stream(&server, client).await?,
    ])
}

async fn single_messages(server: &Server, client: &mut Grpc<Client>) -> Result<bool, Status> {
    for _ in 0..CALLS {
        unary(client).await?;
    }
    let (accepted, tokens) = (server.accepted.get(), server.tokens.get());
    Ok(report("single messages", &[figure("accepted", accepted, CALLS), figure("token requests", tokens, 1)]))
}

/// The call is replayed with a new token. Its caller does not notice.
async fn rejected_message(server: &Server, client: &mut Grpc<Client>) -> Result<bool, Status> {
    server.revoke_tokens();
    let echoed = unary(client).await?;
    Ok(report(
        "the token is revoked before a single message",
        &[
            figure("rejected", server.rejected.get(), 1),
            figure("accepted", server.accepted.get(), CALLS + 1),
            figure("bytes received", echoed.len() as u64, 5),
            figure("token requests", server.tokens.get(), 2),
        ],
    ))
}

async fn stream_of_messages(server: &Server, client: &mut Grpc<Client>) -> Result<bool, Status> {
    let echoed = stream(client).await?;
    Ok(report(
        "a stream in both directions",
        &[
            figure("messages received", echoed, 3),
            figure("accepted", server.accepted.get(), CALLS + 2),
            figure("token requests", server.tokens.get(), 2),
        ],
    ))
}

/// The messages sent so far are replayed with a new token, followed by the others.
async fn rejected_stream(server: &Server, client: &mut Grpc<Client>) -> Result<bool, Status> {
    server.revoke_tokens();
    let echoed = stream(client).await?;
    Ok(report(
        "the token is revoked before a stream",
        &[
            figure("rejected", server.rejected.get(), 2),
            figure("accepted", server.accepted.get(), CALLS + 3),
            figure("messages received", echoed, 3),
            figure("token requests", server.tokens.get(), 3),
        ],
    ))
}

/// Does what a generated method does: waits until the service is ready, and calls it.
async fn unary(client: &mut Grpc<Client>) -> Result<Bytes, Status> {
    client.ready().await.map_err(Status::from_error)?;
    let message = Request::new(Bytes::from_static(b"hello"));
    Ok(client.unary(message, PathAndQuery::from_static(UNARY), Raw).await?.into_inner())
}

/// Sends three messages. Returns how many were received.
async fn stream(client: &mut Grpc<Client>) -> Result<u64, Status> {
    client.ready().await.map_err(Status::from_error)?;
    let messages = Request::new(tokio_stream::iter(["one", "two", "three"].map(Bytes::from)));
    let mut received = client.streaming(messages, PathAndQuery::from_static(STREAM), Raw).await?.into_inner();
    let mut count = 0;
    while received.message().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// A gRPC server that echoes, and its token endpoint. One token is valid at a time.
#[derive(Clone, Default)]
struct Server {
    tokens: Count,
    /// The number of the newest token that was revoked.
    revoked: Count,
    accepted: Count,
    rejected: Count,
}

impl Server {
    fn issue_token(&self) -> http::Response<Full<Bytes>> {
        let number = self.tokens.add_one();
        http::Response::new(Full::from(format!(r#"{{ "access_token": "token-{number}", "token_type": "Bearer" }}"#)))
    }

    fn revoke_tokens(&self) {
        while self.revoked.get() < self.tokens.get() {
            self.revoked.add_one();
        }
    }

    async fn listen(&self) -> Result<SocketAddr, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (server, address) = (self.clone(), listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                let respond = service_fn(move |request| server.clone().respond(request));
                tokio::spawn(async move {
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), respond).await
                });
            }
        });
        Ok(address)
    }

    async fn respond(self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Status> {
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer token-")?.parse().ok());
        if token.is_none_or(|token: u64| token <= self.revoked.get()) {
            self.rejected.add_one();
            return Ok(Status::unauthenticated("the token is not valid").into_http());
        }
        self.accepted.add_one();
        Ok(match request.uri().path() {
            UNARY => tonic::server::Grpc::new(Raw).unary(tower::service_fn(echo), request).await,
            STREAM => tonic::server::Grpc::new(Raw).streaming(tower::service_fn(echo), request).await,
            path => Status::unimplemented(path).into_http(),
        })
    }
}

/// Returns what it receives: a message, or a stream of messages.
async fn echo<T>(request: Request<T>) -> Result<Response<T>, Status> {
    Ok(Response::new(request.into_inner()))
}

/// A codec for messages of plain bytes, instead of a generated one.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

const CALLS: u64 = 20;
/// In bytes, for each request under way.
const REPLAY_LIMIT: usize = 64 * 1024;
const UNARY: &str = "/echo.Echo/Unary";
const STREAM: &str = "/echo.Echo/Stream";

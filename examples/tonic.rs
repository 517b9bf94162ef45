//! tonic under the layer: calls of one message, streams, and what gRPC says instead of 401. Counted at a server in here.
//!
//! ```text
//! cargo run --example tonic
//! ```
//!
//! gRPC says `UNAUTHENTICATED` by `grpc-status: 16`, with HTTP status 200, so the layer needs a rule for it: `reject_when`
//! in `auth` below. That finds it where a server says no before it has sent anything, which is where tonic and others do.
//! Once an answer has begun, the status comes after the last message, and nothing can be healed: tell the layer, with
//! `TokenHandle::reject`, and let the next call have a new token.
//!
//! Bodies of tonic can be sent once only, so each goes out in a `ReplayBody`, which keeps what is sent of it: a call with one
//! message, and as much of a stream as went before it was refused.
//!
//! A generated client goes in the place of `Grpc`: `GreeterClient::new(logged_in(..))`.

use std::{
    future::ready,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::{Buf, BufMut, Bytes};
use http::{header::AUTHORIZATION, response::Parts, uri::PathAndQuery};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
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
    AuthError, AuthLayer, BoxError, Credentials, Rejection, ReplayBody, oauth::ClientCredentialsGrant,
};

#[tokio::main]
async fn main() -> ExitCode {
    match tour().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tonic: {error}");
            ExitCode::FAILURE
        }
    }
}

type LoggedIn = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

/// The layer, with the rule for gRPC. Above a `Channel` no call names its server, so that all of them are in scope.
fn auth(server: &Server) -> Result<AuthLayer, AuthError> {
    let server = server.clone();
    let login = tower::service_fn(move |_: http::Request<Full<Bytes>>| ready(Ok::<_, BoxError>(server.login())));
    let credentials = Credentials::new("client", "secret");
    let source =
        ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(login).build()?;
    AuthLayer::builder(source).origin("https://api.example.com").reject_when(unauthenticated).build()
}

fn unauthenticated(head: &Parts) -> Option<Rejection> {
    (head.headers.get("grpc-status")? == "16").then_some(Rejection::Token)
}

fn logged_in(auth: AuthLayer, channel: Channel) -> LoggedIn {
    let stack = ServiceBuilder::new()
        .map_request(|request: http::Request<Body>| request.map(|body| ReplayBody::new(body, KEPT)))
        .layer(auth)
        .map_request(|request: http::Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);
    BoxCloneSyncService::new(stack)
}

/// All steps; whether each of them was as its line says.
async fn tour() -> Result<bool, BoxError> {
    let server = Server::default();
    let channel = Channel::from_shared(format!("http://{}", server.listen().await?))?.connect_lazy();
    let client = &mut Grpc::new(logged_in(auth(&server)?, channel));
    let steps = [
        warm_calls(&server, client).await?,
        refused_call(&server, client).await?,
        warm_stream(&server, client).await?,
        refused_stream(&server, client).await?,
    ];
    Ok(!steps.contains(&false))
}

async fn warm_calls(server: &Server, client: &mut Grpc<LoggedIn>) -> Result<bool, Status> {
    for _ in 0..CALLS {
        unary(client).await?;
    }
    let (accepted, tokens) = (server.accepted.get(), server.tokens.get());
    Ok(line("calls of one message", &[("accepted", accepted, CALLS), ("token requests", tokens, 1)]))
}

/// It is sent again with a new token, and its caller sees none of it.
async fn refused_call(server: &Server, client: &mut Grpc<LoggedIn>) -> Result<bool, Status> {
    server.revoke();
    let answer = unary(client).await?;
    Ok(line(
        "the token is revoked before a call",
        &[
            ("refused", server.refused.get(), 1),
            ("accepted", server.accepted.get(), CALLS + 1),
            ("bytes that came back", answer.len() as u64, 5),
            ("token requests", server.tokens.get(), 2),
        ],
    ))
}

async fn warm_stream(server: &Server, client: &mut Grpc<LoggedIn>) -> Result<bool, Status> {
    let echoed = stream(client).await?;
    Ok(line(
        "a stream, both ways",
        &[
            ("messages that came back", echoed, 3),
            ("accepted", server.accepted.get(), CALLS + 2),
            ("token requests", server.tokens.get(), 2),
        ],
    ))
}

/// What went of it is sent again with a new token, and the rest after it.
async fn refused_stream(server: &Server, client: &mut Grpc<LoggedIn>) -> Result<bool, Status> {
    server.revoke();
    let echoed = stream(client).await?;
    Ok(line(
        "the token is revoked before a stream",
        &[
            ("refused", server.refused.get(), 2),
            ("accepted", server.accepted.get(), CALLS + 3),
            ("messages that came back", echoed, 3),
            ("token requests", server.tokens.get(), 3),
        ],
    ))
}

/// What a generated method does: waits until the service is ready, and calls it.
async fn unary(client: &mut Grpc<LoggedIn>) -> Result<Bytes, Status> {
    client.ready().await.map_err(Status::from_error)?;
    let message = Request::new(Bytes::from_static(b"hello"));
    Ok(client.unary(message, PathAndQuery::from_static(UNARY), Raw).await?.into_inner())
}

/// Sends three messages; how many came back.
async fn stream(client: &mut Grpc<LoggedIn>) -> Result<u64, Status> {
    client.ready().await.map_err(Status::from_error)?;
    let messages = Request::new(tokio_stream::iter(["one", "two", "three"].map(Bytes::from)));
    let mut answers = client.streaming(messages, PathAndQuery::from_static(STREAM), Raw).await?.into_inner();
    let mut count = 0;
    while answers.message().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// A gRPC server that echoes, and its token endpoint, which know one token at a time, and count.
#[derive(Clone, Default)]
struct Server {
    tokens: Count,
    valid: Count,
    accepted: Count,
    refused: Count,
}

impl Server {
    fn revoke(&self) {
        self.valid.0.store(0, Relaxed);
    }

    fn login(&self) -> http::Response<Full<Bytes>> {
        let number = self.tokens.add_one();
        self.valid.0.store(number, Relaxed);
        http::Response::new(Full::from(format!(r#"{{ "access_token": "token-{number}", "token_type": "Bearer" }}"#)))
    }

    async fn listen(&self) -> Result<SocketAddr, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (server, address) = (self.clone(), listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                let answer = service_fn(move |request| server.clone().answer(request));
                tokio::spawn(async move {
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await
                });
            }
        });
        Ok(address)
    }

    async fn answer(self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Status> {
        let expected = format!("Bearer token-{}", self.valid.get());
        if request.headers().get(AUTHORIZATION).is_none_or(|token| token != expected.as_str()) {
            self.refused.add_one();
            return Ok(Status::unauthenticated("the token is not known").into_http());
        }
        self.accepted.add_one();
        Ok(match request.uri().path() {
            UNARY => tonic::server::Grpc::new(Raw).unary(tower::service_fn(echo), request).await,
            STREAM => tonic::server::Grpc::new(Raw).streaming(tower::service_fn(echo), request).await,
            path => Status::unimplemented(path).into_http(),
        })
    }
}

/// Sends back what came: one message, or a stream of them.
async fn echo<T>(request: Request<T>) -> Result<Response<T>, Status> {
    Ok(Response::new(request.into_inner()))
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add_one(&self) -> u64 {
        self.0.fetch_add(1, Relaxed) + 1
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A codec for messages of plain bytes, in the place of a generated one.
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

/// Prints one step, with what was counted and what it should be; whether all of it is right.
fn line(step: &str, facts: &[(&str, u64, u64)]) -> bool {
    let figures: Vec<_> = facts
        .iter()
        .map(|(name, counted, expected)| {
            let instead = if counted == expected { String::new() } else { format!(" instead of {expected}") };
            format!("{name}: {counted}{instead}")
        })
        .collect();
    let all_kept = facts.iter().all(|(_, counted, expected)| counted == expected);
    let mark = if all_kept { "ok" } else { "FAILED" };
    println!("{mark:<6}  {step:<40}  {}", figures.join(", "));
    all_kept
}

const CALLS: u64 = 20;
/// In bytes, of each request that is on its way.
const KEPT: usize = 64 * 1024;
const UNARY: &str = "/echo.Echo/Unary";
const STREAM: &str = "/echo.Echo/Stream";

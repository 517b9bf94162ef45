//! A gRPC service without generated code: its messages are plain bytes, its methods are told by their paths.

use std::{
    future::ready,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use http::header::AUTHORIZATION;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::Stream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::Grpc,
};

use crate::support::Issuer;

/// Echoes for callers with a token, in the four ways of gRPC.
#[derive(Clone)]
pub(crate) struct Echo {
    pub(crate) issuer: Issuer,
}

impl Echo {
    pub(crate) fn new() -> Self {
        let issuer = Issuer::new();
        issuer.set(|settings| settings.latency = Duration::ZERO);
        Self { issuer }
    }

    pub(crate) async fn listen(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (echo, address) = (self.clone(), listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let echo = echo.clone();
                let answer = service_fn(move |request| echo.clone().answer(request));
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    // An error is the client's affair: what it did not get, its test misses.
                    let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(address)
    }

    async fn answer(self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Status> {
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let known = authorization.is_some_and(|value| self.issuer.knows(value));
        let path = request.uri().path().to_owned();
        let mut grpc = Grpc::new(Raw);
        Ok(match path.as_str() {
            // The stream has begun when the server changes its mind: the status comes in real trailers.
            LATE => {
                grpc.server_streaming(tower::service_fn(move |request| ready(Ok(late(known, request)))), request).await
            }
            // Nothing has been sent yet: `grpc-status` is among the headers, and the answer ends with them.
            _ if !known => Status::unauthenticated("the token is not known").into_http(),
            UNARY => grpc.unary(tower::service_fn(unary), request).await,
            STREAMING => grpc.streaming(tower::service_fn(streaming), request).await,
            _ => Status::unimplemented(path).into_http(),
        })
    }
}

async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    Ok(Response::new(request.into_inner()))
}

async fn streaming(request: Request<Streaming<Bytes>>) -> Result<Response<Streaming<Bytes>>, Status> {
    Ok(Response::new(request.into_inner()))
}

type Messages = Box<dyn Stream<Item = Result<Bytes, Status>> + Send + Unpin>;

fn late(known: bool, request: Request<Bytes>) -> Response<Messages> {
    let end = (!known).then(|| Err(Status::unauthenticated("the token is known no longer")));
    let messages = [Ok(request.into_inner())].into_iter().chain(end);
    Response::new(Box::new(tokio_stream::iter(messages)))
}

/// The messages that come through a channel.
pub(crate) struct Received(pub(crate) mpsc::Receiver<Bytes>);

impl Stream for Received {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_recv(cx)
    }
}

/// A codec for messages of plain bytes.
#[derive(Clone, Copy)]
pub(crate) struct Raw;

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

pub(crate) const UNARY: &str = "/test.Echo/Unary";
pub(crate) const STREAMING: &str = "/test.Echo/Streaming";
pub(crate) const LATE: &str = "/test.Echo/Late";

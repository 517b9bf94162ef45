//! The other end: takes the tokens of its issuer over any kind of stream, echoes, and remembers what it saw.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::sleep,
};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError,
    token::{FetchRequest, TokenSource},
};

use crate::support::Issuer;

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) issuer: Issuer,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    /// The length of a 401's body.
    refusal: usize,
    /// Of one HTTP/2 connection at once, if not hyper's default.
    streams: Option<u32>,
    /// How many requests were, or are about to be, answered with a 401.
    refusals: Arc<AtomicUsize>,
    /// So many of them are answered at once, and tokens are given out after that.
    refused_together: Arc<AtomicUsize>,
}

/// An API request as it arrived.
struct Seen {
    version: Version,
    host: Option<String>,
    headers: HeaderMap,
    authorizations: Vec<String>,
    accepted: bool,
    body: Bytes,
}

impl Server {
    pub(crate) fn new() -> Self {
        let issuer = Issuer::new();
        issuer.set(|settings| settings.latency = Duration::ZERO);
        let (seen, connections, refusals, refused_together) = Default::default();
        Self { issuer, seen, connections, refusal: 50_000, streams: None, refusals, refused_together }
    }

    pub(crate) fn with_refusals_of(self, bytes: usize) -> Self {
        Self { refusal: bytes, ..self }
    }

    pub(crate) fn with_streams(self, streams: u32) -> Self {
        Self { streams: Some(streams), ..self }
    }

    /// Holds 401 answers and token requests until so many requests are to be answered with a 401.
    pub(crate) fn refuse_together(&self, requests: usize) {
        self.refused_together.store(requests, Ordering::Relaxed);
    }

    async fn enough_refusals(&self) {
        while self.refusals.load(Ordering::Relaxed) < self.refused_together.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Serves on a free port of this machine until the test's runtime ends.
    pub(crate) async fn listen(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (server, address) = (self.clone(), listener.local_addr()?);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(server.clone().serve(stream));
            }
            #[expect(unreachable_code, reason = "it gives the block its type")]
            io::Result::Ok(())
        });
        Ok(address)
    }

    /// One connection, which speaks HTTP/1.1 or HTTP/2 as its client does.
    pub(crate) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        if let Some(streams) = self.streams {
            builder.http2().max_concurrent_streams(streams);
        }
        let answer = service_fn(move |request| self.clone().answer(request));
        // An error is the client's affair: what it did not get, its test misses.
        let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
        if request.uri().path() == "/token" {
            self.enough_refusals().await;
            let token = self.issuer.fetch(FetchRequest::new()).await?;
            let token = serde_json::json!({ "access_token": token.expose_secret(), "token_type": "Bearer" });
            return Ok(Response::new(Full::from(token.to_string())));
        }
        let host = request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned());
        let host = host.or(request.uri().authority().map(ToString::to_string));
        let authorizations = request.headers().get_all(AUTHORIZATION).iter();
        let authorizations: Vec<_> = authorizations.map(|value| value.to_str().unwrap().to_owned()).collect();
        let accepted = authorizations.iter().any(|value| self.issuer.knows(value));
        let (version, headers) = (request.version(), request.headers().clone());
        let body = request.into_body().collect().await?.to_bytes();
        self.seen.lock().unwrap().push(Seen { version, host, headers, authorizations, accepted, body: body.clone() });
        if accepted {
            return Ok(Response::new(Full::from(body)));
        }
        self.refusals.fetch_add(1, Ordering::Relaxed);
        self.enough_refusals().await;
        Ok(Response::builder().status(StatusCode::UNAUTHORIZED).body(Full::from("?".repeat(self.refusal)))?)
    }

    /// Asserts which requests arrived, with how much of a body, and that each carried a token of ours and nothing else.
    pub(crate) fn saw(&self, expected: &[(bool, &Bytes)], version: Version) {
        let seen = self.seen.lock().unwrap();
        let outline = |(accepted, body): (bool, &Bytes)| (accepted, body.len());
        let arrived: Vec<_> = seen.iter().map(|seen| outline((seen.accepted, &seen.body))).collect();
        assert_eq!(arrived, expected.iter().copied().map(outline).collect::<Vec<_>>());
        for (seen, (_, body)) in seen.iter().zip(expected) {
            assert!(seen.body == *body, "another body of the same length");
            assert_eq!(seen.version, version);
            let ours = |value: &String| value.starts_with("Bearer token-");
            assert!(
                seen.authorizations.len() == 1 && seen.authorizations.iter().all(ours),
                "{:?}",
                seen.authorizations
            );
        }
    }

    /// The headers of each API request.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.seen.lock().unwrap().iter().map(|seen| seen.headers.clone()).collect()
    }

    /// The hosts that requests were meant for.
    pub(crate) fn hosts(&self) -> Vec<Option<String>> {
        self.seen.lock().unwrap().iter().map(|seen| seen.host.clone()).collect()
    }

    /// How many clients, or how often one, connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// A layer that authenticates here.
    pub(crate) fn layer(&self, origin: &str) -> Result<AuthLayer, AuthError> {
        self.builder(origin).build()
    }

    pub(crate) fn builder(&self, origin: &str) -> AuthLayerBuilder {
        AuthLayer::builder(self.issuer.clone()).origin(origin)
    }
}

/// What clients call it where an address says nothing.
pub(crate) const NAME: &str = "localhost";

//! A server for each scheme, host and port that a client connects to, which notes all bytes.
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header::AUTHORIZATION};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tower::Service;

use crate::support::Issuer;

/// What arrived, with the name of its server: bytes as they were read, and names and values of headers, which HTTP/2
/// compresses.
type Arrived = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

#[derive(Clone)]
pub(super) struct Servers {
    pub(super) issuer: Issuer,
    addresses: Arc<Mutex<HashMap<String, SocketAddr>>>,
    arrived: Arrived,
}

impl Servers {
    pub(super) fn new() -> Self {
        let issuer = Issuer::new();
        issuer.set(|settings| settings.latency = Duration::ZERO);
        Self { issuer, addresses: Arc::default(), arrived: Arc::default() }
    }

    /// What arrived since it was asked last.
    pub(super) fn take(&self) -> HashMap<String, Vec<u8>> {
        let mut all = HashMap::<_, Vec<u8>>::new();
        for (server, bytes) in self.arrived.lock().unwrap().drain(..) {
            all.entry(server).or_default().extend(bytes);
        }
        all
    }

    /// Connects to the server of a URI's scheme, host and port, as hyper-util's connector reads them. Speaks no TLS, so that
    /// the bytes can be read.
    pub(super) fn connector(
        &self,
    ) -> impl Service<Uri, Response = TokioIo<TcpStream>, Error = io::Error, Future: Send + Unpin>
    + Clone
    + Send
    + Sync
    + 'static {
        let servers = self.clone();
        tower::service_fn(move |uri: Uri| {
            let servers = servers.clone();
            Box::pin(async move {
                let scheme = uri.scheme_str().unwrap_or_default().to_owned();
                let host = uri.host().unwrap_or_default().to_ascii_lowercase();
                let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
                let address = servers.listen(&format!("{scheme}://{host}:{port}")).await?;
                TcpStream::connect(address).await.map(TokioIo::new)
            })
        })
    }

    /// The address of the server of this name.
    pub(super) async fn listen(&self, name: &str) -> io::Result<SocketAddr> {
        let known = self.addresses.lock().unwrap().get(name).copied();
        if let Some(address) = known {
            return Ok(address);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        self.addresses.lock().unwrap().insert(name.to_owned(), address);
        let (servers, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(servers.clone().serve(name.clone(), stream));
            }
        });
        Ok(address)
    }

    async fn serve(self, name: String, stream: TcpStream) {
        let stream = Noted { name: name.clone(), stream, arrived: Arc::clone(&self.arrived) };
        let answer = service_fn(move |request: Request<Incoming>| {
            let bytes = request.headers().iter().flat_map(|(name, value)| [name.as_ref(), value.as_bytes()]);
            self.arrived.lock().unwrap().push((name.clone(), bytes.collect::<Vec<_>>().join(&b'\n')));
            let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            let mut response = Response::new(Full::<Bytes>::default());
            if !token.is_some_and(|token| self.issuer.knows(token)) {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            async move { Ok::<_, Infallible>(response) }
        });
        // An error is the client's affair: what it sent was noted.
        let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
    }
}

struct Noted {
    name: String,
    stream: TcpStream,
    arrived: Arrived,
}

impl AsyncRead for Noted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let bytes = buffer.filled().get(before..).unwrap_or_default().to_vec();
        self.arrived.lock().unwrap().push((self.name.clone(), bytes));
        read
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What only the layer sends, in lower case.
pub(super) const CREDENTIALS: [&str; 6] =
    ["authorization", "token-", "x-static", "the-bank", "x-timestamp", "x-signature"];

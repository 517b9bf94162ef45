//! Connections to servers: direct, through a forward proxy by `CONNECT`, or to the proxy itself for plain `http`.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn, ready},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector, proxy::Tunnel};
use rustls::ClientConfig;
use tower_service::Service;

use super::proxy::{Proxies, Proxy};
use crate::{
    error::{AuthError, BoxError},
    origin::Origin,
};

/// Connects to a server, through the proxy that is set for it.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    to_proxy: HttpsConnector<HttpConnector>,
    proxies: Arc<Proxies>,
}

impl Connector {
    /// `proxy_tls` is for proxies that are reached over TLS.
    pub(super) fn new(proxies: Arc<Proxies>, proxy_tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let to_proxy = HttpsConnectorBuilder::new().with_tls_config(proxy_tls).https_or_http();
        let to_proxy = to_proxy.enable_http1().wrap_connector(tcp.clone());
        Self { tcp, to_proxy, proxies }
    }

    /// A tunnel for TLS. A request without TLS goes to the proxy itself, which knows from it where it is to go: many
    /// proxies allow tunnels to port 443 only.
    fn connect_through(&self, proxy: &Proxy, server: &Origin) -> <Self as Service<Uri>>::Future {
        let (mut connector, proxy, is_forwarding) = (self.to_proxy.clone(), proxy.clone(), !server.is_https());
        let server = server.host_and_port();
        Box::pin(async move {
            let connected = async {
                if is_forwarding {
                    poll_fn(|cx| connector.poll_ready(cx)).await?;
                    return connector.call(Uri::try_from(proxy.origin.to_string())?).await;
                }
                let mut tunnel = Tunnel::new(Uri::try_from(proxy.origin.to_string())?, connector);
                if let Some(authorization) = proxy.authorization {
                    tunnel = tunnel.with_auth(authorization);
                }
                poll_fn(|cx| tunnel.poll_ready(cx)).await?;
                // Always with its port: the tunnel takes a server without one for one with 443, whatever the scheme.
                tunnel.call(Uri::try_from(server)?).await.map_err(BoxError::from)
            };
            match connected.await {
                Ok(io) => Ok(Stream { io, is_forwarding }),
                Err(source) => Err(ProxyConnectError { proxy: proxy.origin, source }.into()),
            }
        })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        // TCP would connect somewhere all the same: past the proxy that is meant for it, or to another port.
        let Some(origin) = Origin::of(&server) else {
            return Box::pin(ready(Err(AuthError::config(NO_ORIGIN).into())));
        };
        if let Some(proxy) = self.proxies.find(&origin) {
            return self.connect_through(proxy, &origin);
        }
        let connecting = self.tcp.call(server);
        Box::pin(async move { Ok(Stream { io: MaybeHttpsStream::Http(connecting.await?), is_forwarding: false }) })
    }
}

/// Error of a connection that the proxy did not make.
#[derive(Debug)]
pub(crate) struct ProxyConnectError {
    proxy: Origin,
    source: BoxError,
}

impl fmt::Display for ProxyConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection through the proxy at {}", self.proxy)
    }
}

impl Error for ProxyConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// A connection to a server, or to the proxy that leads to it.
pub(super) struct Stream {
    io: MaybeHttpsStream<<HttpConnector as Service<Uri>>::Response>,
    /// Whether it ends at a proxy that has to be told the whole URI (RFC 9112, section 3.2.2).
    is_forwarding: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.is_forwarding)
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

const NO_ORIGIN: &str =
    "HttpsClient: the request's URI names no server; use http or https, and a port of digits below 65536";
/// Shared by the addresses of a host, so that one that does not answer leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

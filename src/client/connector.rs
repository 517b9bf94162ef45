//! Connections to servers: direct, or through a forward proxy by `CONNECT`.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{HttpConnector, proxy::Tunnel};
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
    pub(super) fn new(proxies: Proxies, proxy_tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let to_proxy = HttpsConnectorBuilder::new().with_tls_config(proxy_tls).https_or_http();
        let to_proxy = to_proxy.enable_http1().wrap_connector(tcp.clone());
        Self { tcp, to_proxy, proxies: Arc::new(proxies) }
    }

    fn connect_through(&self, proxy: &Proxy, server: &Origin) -> <Self as Service<Uri>>::Future {
        let (connector, proxy, server) = (self.to_proxy.clone(), proxy.clone(), server.host_and_port());
        Box::pin(async move {
            let connected = async {
                let mut tunnel = Tunnel::new(Uri::try_from(proxy.origin.to_string())?, connector);
                if let Some(authorization) = proxy.authorization {
                    tunnel = tunnel.with_auth(authorization);
                }
                poll_fn(|cx| tunnel.poll_ready(cx)).await?;
                // Always with its port: the tunnel takes a server without one for one with 443, whatever the scheme.
                tunnel.call(Uri::try_from(server)?).await.map_err(BoxError::from)
            };
            connected.await.map_err(|source| ProxyConnectError { proxy: proxy.origin, source }.into())
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
        Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
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
type Stream = MaybeHttpsStream<<HttpConnector as Service<Uri>>::Response>;

const NO_ORIGIN: &str =
    "HttpsClient: the request's URI names no server; use http or https, and a port of digits below 65536";
/// Shared by the addresses of a host, so that one that does not answer leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

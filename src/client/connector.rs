//! The way to a server: straight, or through a forward proxy by `CONNECT`.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderValue, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{HttpConnector, proxy::Tunnel};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use tower_service::Service;

use crate::{
    error::{AuthError, BoxError},
    oauth::wire,
    origin::Origin,
};

/// A connector that knows whether there is a proxy.
#[derive(Clone)]
pub(super) struct Way {
    tcp: HttpConnector,
    proxy: Option<Proxy>,
}

#[derive(Clone)]
struct Proxy {
    origin: Origin,
    tunnel: Tunnel<HttpsConnector<HttpConnector>>,
}

impl Way {
    pub(super) fn straight() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, proxy: None }
    }

    /// `tls` is for a proxy that is spoken to over TLS.
    pub(super) fn through(
        origin: Origin,
        tls: ClientConfig,
        credentials: Option<(String, SecretString)>,
    ) -> Result<Self, AuthError> {
        let Self { tcp, .. } = Self::straight();
        let url = Uri::try_from(origin.to_string())
            .map_err(|error| AuthError::config("the proxy cannot be named").with_source(error))?;
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let mut tunnel = Tunnel::new(url, https.enable_http1().wrap_connector(tcp.clone()));
        if let Some((user, password)) = credentials {
            tunnel = tunnel.with_auth(basic(&user, password.expose_secret())?);
        }
        Ok(Self { tcp, proxy: Some(Proxy { origin, tunnel }) })
    }
}

/// Reads `http://host[:port]` or `https://host[:port]`, with or without a final slash.
pub(super) fn proxy_origin(url: &str) -> Result<Origin, AuthError> {
    Origin::parse("proxy", url.strip_suffix('/').unwrap_or(url)).map_err(|_| {
        AuthError::config(
            "a proxy must look like \"http://host:port\" or \"https://host:port\": no path, no query, and user name and \
             password go into proxy_credentials()",
        )
    })
}

/// RFC 7617, section 2.
fn basic(user: &str, password: &str) -> Result<HeaderValue, AuthError> {
    if user.contains(':') {
        return Err(AuthError::config("a user name with a colon cannot be sent: see proxy_credentials()"));
    }
    if [user, password].iter().any(|text| text.chars().any(char::is_control)) {
        return Err(AuthError::config("proxy_credentials() with a control character; were they read with a line end?"));
    }
    wire::basic(user, password, false)
}

impl Service<Uri> for Way {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Some(proxy) = &mut self.proxy {
            ready!(proxy.tunnel.poll_ready(cx))?;
        }
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let target = Origin::of(&server).filter(|origin| !origin.is_this_machine());
        let (Some(proxy), Some(target)) = (&mut self.proxy, target) else {
            let connecting = self.tcp.call(server);
            return Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        // The tunnel takes a server without a port for one with 443, whatever the scheme.
        let (target, origin) = (Uri::try_from(target.host_and_port()), proxy.origin.clone());
        let connecting = target.map(|target| proxy.tunnel.call(target));
        Box::pin(async move { connecting?.await.map_err(|error| NoTunnel::at(origin, error).into()) })
    }
}

/// The proxy made no connection.
#[derive(Debug)]
pub(crate) struct NoTunnel {
    proxy: Origin,
    source: BoxError,
}

impl NoTunnel {
    fn at(proxy: Origin, source: impl Into<BoxError>) -> Self {
        Self { proxy, source: source.into() }
    }
}

impl fmt::Display for NoTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection through the proxy at {}", self.proxy)
    }
}

impl Error for NoTunnel {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// A connection to a server, or to the proxy that leads to it.
type Stream = MaybeHttpsStream<<HttpConnector as Service<Uri>>::Response>;

/// Shared by the addresses of a host, so that one that does not answer leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

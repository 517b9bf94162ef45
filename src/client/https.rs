//! `HttpsClient`: hyper-util's client over rustls.

use std::{
    fmt,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{PROXY_AUTHORIZATION, USER_AGENT},
};
use http_body::Body;
use http_body_util::{
    BodyExt,
    combinators::{BoxBody, UnsyncBoxBody},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tower_service::Service;

use super::{connector::Connector, proxy::Proxies};
use crate::{error::BoxError, product::PRODUCT, time};

/// HTTPS client that speaks HTTP/1.1 and HTTP/2.
///
/// Give it to [`ClientCredentialsGrantBuilder::transport`](crate::oauth::ClientCredentialsGrantBuilder::transport), to
/// an [`AuthLayer`](crate::AuthLayer), or to both. It accepts any body of [`Bytes`]. It does not follow redirects,
/// retry, time requests out or decompress; Tower layers do. Plain `http` URLs work too: it is the grant and the layer
/// that refuse them. A request without a `User-Agent` is sent with `tower-outbound-auth/<version>`, since some firewalls
/// refuse one without.
///
/// Clones share their connections. A grant uses the settings of the client it is given, but opens its own connections
/// and keeps none of them idle.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) for a URI that names no server, such as one whose port is not a number below 65536,
/// and in a tokio runtime without timers (`enable_time`); else the error of the connection.
///
/// # Example
///
/// A bank with a private certification authority that asks for a client certificate:
///
/// ```no_run
/// use std::fs;
/// # use bytes::Bytes;
/// # use http::Request;
/// # use http_body_util::Full;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_outbound_auth::{
///     AuthLayer, BoxError, Credentials,
///     client::HttpsClient,
///     oauth::{ClientAuth, ClientCredentialsGrant},
/// };
///
/// # async fn accounts() -> Result<(), BoxError> {
/// let https = HttpsClient::builder()
///     .root_certificates(fs::read("/etc/bank/ca.pem")?)
///     .identity(fs::read("/etc/bank/client.pem")?, fs::read("/etc/bank/client.key")?)
///     .build()?;
///
/// let grant = ClientCredentialsGrant::builder("https://login.bank.example/token", Credentials::without_secret("client"))
///     .client_auth(ClientAuth::Certificate)
///     .transport(https.clone())
///     .build()?;
/// let auth = AuthLayer::builder(grant).origin("https://api.bank.example").build()?;
/// let client = ServiceBuilder::new().layer(auth).service(https);
///
/// let request = Request::get("https://api.bank.example/accounts").body(Full::<Bytes>::default())?;
/// println!("{}", client.oneshot(request).await?.status());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct HttpsClient {
    inner: Arc<Inner>,
}

/// What a client shows of itself.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "`Debug` reads it")]
pub(super) struct Summary {
    pub(super) roots: usize,
    pub(super) identity: bool,
    pub(super) https_proxy: Option<String>,
    pub(super) http_proxy: Option<String>,
    pub(super) http1_only: bool,
}

struct Inner {
    client: Client<HttpsConnector<Connector>, UnsyncBoxBody<Bytes, BoxError>>,
    connector: HttpsConnector<Connector>,
    proxies: Arc<Proxies>,
    pool_idle_timeout: Duration,
    summary: Summary,
}

impl HttpsClient {
    pub(super) fn new_with(
        connector: HttpsConnector<Connector>,
        proxies: Arc<Proxies>,
        pool_idle_timeout: Duration,
        summary: Summary,
    ) -> Self {
        let mut client = Client::builder(TokioExecutor::new());
        if pool_idle_timeout.is_zero() {
            client.pool_max_idle_per_host(0);
        } else {
            client.pool_timer(TokioTimer::new()).pool_idle_timeout(pool_idle_timeout);
        }
        let client = client.build(connector.clone());
        Self { inner: Arc::new(Inner { client, connector, proxies, pool_idle_timeout, summary }) }
    }

    /// Returns a client with the same settings that shares no connection with this one and keeps none idle.
    ///
    /// For token requests: there is one in a token's lifetime, and it must not wait for a connection that is busy with
    /// the body of a rejected response (guarantee R9).
    pub(crate) fn without_pool(&self) -> Self {
        let (connector, proxies) = (self.inner.connector.clone(), Arc::clone(&self.inner.proxies));
        Self::new_with(connector, proxies, Duration::ZERO, self.inner.summary.clone())
    }
}

impl<B> Service<Request<B>> for HttpsClient
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<BoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Connecting takes them, and would panic.
        if !time::has_timers() {
            return Box::pin(ready(Err(time::no_timers().into())));
        }
        let authorization = self.inner.proxies.forwarding(request.uri()).cloned();
        let headers = request.headers_mut();
        if !headers.contains_key(USER_AGENT) {
            // It has room for one more but where it is full, and then the server decides.
            let _ = headers.try_insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        }
        if let Some(authorization) = authorization {
            let _ = headers.try_insert(PROXY_AUTHORIZATION, authorization);
        }
        let response = self.inner.client.request(request.map(|body| body.map_err(Into::into).boxed_unsync()));
        Box::pin(async move { Ok(response.await?.map(|body| body.map_err(Into::into).boxed())) })
    }
}

impl fmt::Debug for HttpsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { pool_idle_timeout, summary, .. } = &*self.inner;
        f.debug_struct("HttpsClient").field("pool_idle_timeout", pool_idle_timeout).field("settings", summary).finish()
    }
}

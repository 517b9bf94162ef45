//! The ready-made HTTPS client: hyper-util's over rustls.

mod builder;
mod connector;
mod pem;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{
    BodyExt,
    combinators::{BoxBody, UnsyncBoxBody},
};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use tower_service::Service;

pub use self::builder::HttpsClientBuilder;
pub(crate) use self::connector::NoTunnel;
use self::{builder::Settings, connector::Way};
use crate::error::BoxError;

/// An HTTPS client for token requests, and for the API: roots, a client certificate and a proxy of one's own.
///
/// Made by [`builder`](Self::builder), and given to
/// [`ClientCredentialsGrantBuilder::transport`](crate::oauth::ClientCredentialsGrantBuilder::transport), to an
/// [`AuthLayer`](crate::AuthLayer), or to both. It takes any body of [`Bytes`], speaks HTTP/2 or HTTP/1.1 as the server has it
/// (by ALPN), follows no redirect, and reads no environment variable. Clones share everything.
///
/// Whether a URL may be plain `http` is for its users to say: token source and layer refuse it beyond this machine.
///
/// # Example
///
/// A bank with a private CA that wants to see a client certificate:
///
/// ```no_run
/// use std::{fs, time::Duration};
/// # use bytes::Bytes;
/// # use http::Request;
/// # use http_body_util::Full;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_outbound_auth::{AuthLayer, BoxError, Credentials, client::HttpsClient, oauth::{ClientAuth, ClientCredentialsGrant}};
///
/// # async fn accounts() -> Result<(), BoxError> {
/// let transport = HttpsClient::builder()
///     .root_certificates(fs::read("/etc/bank/ca.pem")?)
///     .identity(fs::read("/etc/bank/client.pem")?, fs::read("/etc/bank/client.key")?)
///     .proxy("http://proxy.example.com:3128")
///     .idle_timeout(Duration::from_secs(30))
///     .build()?;
///
/// let source = ClientCredentialsGrant::builder("https://login.bank.example/token", Credentials::new("client", ""))
///     .client_auth(ClientAuth::Certificate)
///     .transport(transport.clone())
///     .build()?;
/// let auth = AuthLayer::builder(source).origin("https://api.bank.example").build()?;
/// let client = ServiceBuilder::new().layer(auth).service(transport);
///
/// let request = Request::get("https://api.bank.example/accounts").body(Full::<Bytes>::default())?;
/// println!("{}", client.oneshot(request).await?.status());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct HttpsClient {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client<HttpsConnector<Way>, UnsyncBoxBody<Bytes, BoxError>>,
    settings: Settings,
}

impl HttpsClient {
    /// Starts a transport that trusts Mozilla's roots, shows no certificate, and connects straight.
    pub fn builder() -> HttpsClientBuilder {
        HttpsClientBuilder::default()
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = self.inner.client.request(request.map(|body| body.map_err(Into::into).boxed_unsync()));
        Box::pin(async move { Ok(response.await?.map(|body| body.map_err(Into::into).boxed())) })
    }
}

impl fmt::Debug for HttpsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpsClient").field(&self.inner.settings).finish()
    }
}

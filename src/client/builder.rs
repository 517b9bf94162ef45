//! The settings of a transport, checked before anything is sent.

use std::{fmt, sync::Arc, time::Duration};

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::TrustAnchor, sign::SingleCertAndKey};
use secrecy::SecretString;

use super::{
    HttpsClient, Inner,
    connector::{Way, proxy_origin},
    pem,
};
use crate::{error::AuthError, origin::Origin};

/// Settings of a [`HttpsClient`] to be.
///
/// Nothing is read from files and nothing fails before [`build`](Self::build), which then tells of the first mistake. A
/// clone is a builder of its own, for a second transport that differs.
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct HttpsClientBuilder {
    /// Without Mozilla's, which come in last.
    roots: Vec<TrustAnchor<'static>>,
    mozilla: bool,
    identity: Option<Arc<SingleCertAndKey>>,
    proxy: Option<Origin>,
    proxy_credentials: Option<(String, SecretString)>,
    idle_timeout: Duration,
    mistake: Option<AuthError>,
}

/// What a transport shows of itself.
#[derive(Debug)]
#[expect(dead_code, reason = "`Debug` reads it")]
pub(super) struct Settings {
    roots: usize,
    identity: bool,
    proxy: Option<String>,
    idle_timeout: Duration,
}

impl HttpsClientBuilder {
    /// Trusts the certification authorities in this PEM text **in place of** Mozilla's. Repeatable: all of them count.
    ///
    /// In place of, since whoever has a private CA means it: with Mozilla's roots beside it, any of some hundred public
    /// authorities could vouch for a server that is to get the client's secret. Where a transport reaches public servers as
    /// well, [`mozilla_roots`](Self::mozilla_roots) adds them. Sections of the text that are no certificate are passed over.
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        match pem::roots(pem.as_ref()) {
            Ok(roots) => self.roots.extend(roots),
            Err(mistake) => self.note(mistake),
        }
        self
    }

    /// Trusts Mozilla's roots beside those of [`root_certificates`](Self::root_certificates).
    ///
    /// Default: they are trusted where there are no others.
    pub fn mozilla_roots(mut self) -> Self {
        self.mozilla = true;
        self
    }

    /// Shows this certificate to servers that ask for one (mutual TLS). A second call replaces the first.
    ///
    /// Two PEM texts, or one given twice: the certificate itself and then those that lead to its authority, and the private
    /// key: PKCS #8, PKCS #1 or SEC 1, not encrypted; RSA, ECDSA on P-256 or P-384, or Ed25519. The proxy never gets to see it.
    ///
    /// The key is decoded at once, and the decoded bytes are wiped. Not wiped are the text, which is the caller's, what the
    /// PEM reader held of it, and the key that rustls signs with, since ring's keys are not: there is one of it, shared by all
    /// clones.
    pub fn identity(mut self, cert_chain_pem: impl AsRef<[u8]>, key_pem: impl AsRef<[u8]>) -> Self {
        match pem::identity(cert_chain_pem.as_ref(), key_pem.as_ref()) {
            Ok(identity) => self.identity = Some(Arc::new(identity.into())),
            Err(mistake) => self.note(mistake),
        }
        self
    }

    /// Connects through this forward proxy, `http://host[:port]` or `https://host[:port]`. A second call replaces the first.
    ///
    /// Each connection is a tunnel (`CONNECT`, RFC 9110, section 9.3.6): TLS goes from here to the server, and the proxy sees
    /// the server's name and nothing of what is said. This machine itself (`localhost`, 127.0.0.0/8, `[::1]`) is reached
    /// straight, since a proxy would take it for its own. A proxy with `https` is held to the same roots as servers are.
    /// Default: no proxy, whatever the environment says.
    pub fn proxy(mut self, url: &str) -> Self {
        match proxy_origin(url) {
            Ok(proxy) => self.proxy = Some(proxy),
            Err(mistake) => self.note(mistake),
        }
        self
    }

    /// What the proxy wants to be told: `Proxy-Authorization: Basic` (RFC 7617), sent to the proxy alone.
    ///
    /// To a proxy with `http` it goes in the clear, as is usual within a company's network.
    pub fn proxy_credentials(mut self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.proxy_credentials = Some((user.into(), password.into()));
        self
    }

    /// How long a connection is kept for the next request.
    ///
    /// Default zero: none is kept. That is right for token requests, of which there is one in a lifetime of a token: a
    /// connection would outlive neither the idle timeouts on its way nor the runtime that it was made in. For requests to an
    /// API take a little less than its server and what lies between keep theirs; 30 s suits most. More than a day is a day.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        // A time that cannot be added to the clock would end the task that closes connections.
        self.idle_timeout = limit.min(A_DAY);
        self
    }

    /// Checks the settings and makes the transport. No runtime is needed, and nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), with what to change: PEM text without a certificate or a key, or with one that
    /// cannot be read; a key that is not the certificate's; a proxy URL that is none; proxy credentials that cannot be sent,
    /// or without a proxy. It never holds text of a key.
    pub fn build(self) -> Result<HttpsClient, AuthError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let mut roots = RootCertStore { roots: self.roots };
        if self.mozilla || roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let settings = Settings {
            roots: roots.len(),
            identity: self.identity.is_some(),
            proxy: self.proxy.as_ref().map(ToString::to_string),
            idle_timeout: self.idle_timeout,
        };
        let mut tls = tls(roots)?;
        let way = match (self.proxy, self.proxy_credentials) {
            (Some(proxy), credentials) => Way::through(proxy, tls.clone(), credentials)?,
            (None, Some(_)) => return Err(AuthError::config("proxy_credentials() without a proxy()")),
            (None, None) => Way::straight(),
        };
        if let Some(identity) = self.identity {
            tls.client_auth_cert_resolver = identity;
        }
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let https = https.enable_http1().enable_http2().wrap_connector(way);
        let mut client = Client::builder(TokioExecutor::new());
        if self.idle_timeout.is_zero() {
            client.pool_max_idle_per_host(0);
        } else {
            client.pool_timer(TokioTimer::new()).pool_idle_timeout(self.idle_timeout);
        }
        Ok(HttpsClient { inner: Arc::new(Inner { client: client.build(https), settings }) })
    }

    /// Keeps the first mistake, for `build` to tell.
    fn note(&mut self, mistake: AuthError) {
        self.mistake.get_or_insert(mistake);
    }
}

impl fmt::Debug for HttpsClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsClientBuilder")
            .field("roots", &self.roots.len())
            .field("mozilla_roots", &self.mozilla)
            .field("identity", &self.identity.is_some())
            .field("proxy", &self.proxy)
            .field("proxy_user", &self.proxy_credentials.as_ref().map(|(user, _)| user))
            .field("idle_timeout", &self.idle_timeout)
            .field("mistake", &self.mistake)
            .finish()
    }
}

/// Rustls with ring, and without a client certificate.
fn tls(roots: RootCertStore) -> Result<ClientConfig, AuthError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| AuthError::config("setting up TLS failed").with_source(error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

const A_DAY: Duration = Duration::from_secs(86_400);

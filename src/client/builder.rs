//! The settings of an [`HttpsClient`], checked before anything is sent.

use std::{fmt, sync::Arc, time::Duration};

use hyper_rustls::HttpsConnectorBuilder;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::TrustAnchor, sign::SingleCertAndKey};
use secrecy::{ExposeSecret, SecretString};

use super::{
    connector::Connector,
    https::{HttpsClient, Summary},
    pem,
    proxy::{Proxies, Proxy},
};
use crate::error::AuthError;

/// Builder for [`HttpsClient`].
///
/// No setter fails: [`build`](Self::build) returns the first mistake. Clones of a builder are independent.
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct HttpsClientBuilder {
    /// Without Mozilla's and the system's, which `build` adds.
    roots: Vec<TrustAnchor<'static>>,
    mozilla_roots: bool,
    #[cfg(feature = "native-roots")]
    native_roots: bool,
    identity: Option<Arc<SingleCertAndKey>>,
    proxies: Proxies,
    proxy_credentials: Option<(String, SecretString)>,
    http1_only: bool,
    pool_idle_timeout: Duration,
    mistake: Option<AuthError>,
}

impl HttpsClient {
    /// Creates a client with Mozilla's roots, no certificate and no proxy.
    ///
    /// Needs no runtime.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if TLS cannot be set up.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::new()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn new() -> Result<Self, AuthError> {
        Self::builder().build()
    }

    /// Returns a builder that starts with the settings of [`new`](Self::new).
    pub fn builder() -> HttpsClientBuilder {
        HttpsClientBuilder::default()
    }
}

impl HttpsClientBuilder {
    /// Trusts the certification authorities in this PEM text, instead of Mozilla's.
    ///
    /// Repeatable: all of them are trusted. Parts of the text that are not certificates are ignored. Default: Mozilla's
    /// roots. They are replaced, not extended, because with them any of some hundred public authorities could vouch for
    /// the server that receives your client secret; add them with [`mozilla_roots`](Self::mozilla_roots) if the client
    /// also calls public servers.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = HttpsClient::builder().root_certificates(std::fs::read("/etc/bank/ca.pem")?).build()?;
    /// # Ok(()) }
    /// ```
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        match pem::roots(pem.as_ref()) {
            Ok(roots) => self.roots.extend(roots),
            Err(mistake) => self.note(mistake),
        }
        self
    }

    /// Trusts Mozilla's roots as well.
    ///
    /// Call it beside [`root_certificates`](Self::root_certificates). Default: they are trusted only where no others
    /// are set. They are compiled in, so every machine trusts the same ones, and new ones come with an update of this
    /// crate's dependencies.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::builder().mozilla_roots().build()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn mozilla_roots(mut self) -> Self {
        self.mozilla_roots = true;
        self
    }

    /// Trusts the system's certificate store, instead of Mozilla's roots.
    ///
    /// Use it where an administrator installs your company's authorities on each machine. [`build`](Self::build) reads
    /// the store, once: on Linux and BSD the usual files, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name; on
    /// macOS and Windows the store of the system. Certificates in it that cannot be read are ignored. Default: not
    /// trusted, because containers often have no such store.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::builder().native_roots().build()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    #[cfg(feature = "native-roots")]
    pub fn native_roots(mut self) -> Self {
        self.native_roots = true;
        self
    }

    /// Sends this certificate to servers that ask for one (mutual TLS).
    ///
    /// A second call replaces the first. Both arguments are PEM text, and may be the same text: the client's own
    /// certificate followed by those that lead to its authority, and the private key in PKCS #8, PKCS #1 or SEC 1, not
    /// encrypted. RSA from 2048 bits, ECDSA on P-256 or P-384, and Ed25519 are supported. The certificate is never sent
    /// to a proxy. Default: none.
    ///
    /// The decoded key is wiped after use. Not wiped are your text, the PEM reader's copy of it, and the one key that
    /// ring signs with, which all clones share.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::fs;
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = HttpsClient::builder()
    ///     .identity(fs::read("/etc/bank/client.pem")?, fs::read("/etc/bank/client.key")?)
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn identity(mut self, cert_chain_pem: impl AsRef<[u8]>, key_pem: impl AsRef<[u8]>) -> Self {
        match pem::identity(cert_chain_pem.as_ref(), key_pem.as_ref()) {
            Ok(identity) => self.identity = Some(Arc::new(identity.into())),
            Err(mistake) => self.note(mistake),
        }
        self
    }

    /// Connects through this forward proxy.
    ///
    /// The URL is `http://host[:port]` or `https://host[:port]`. A connection for `https` is a tunnel (`CONNECT`, RFC 9110,
    /// section 9.3.6): TLS ends at the server, and the proxy learns the server's name only. A plain `http` request is sent to
    /// the proxy with its whole URI (RFC 9112, section 3.2.2), and the proxy reads all of it. This machine (`localhost`,
    /// 127.0.0.0/8 and `[::1]`) is always connected directly. A proxy with `https` is verified with the same roots as servers
    /// are. A second call replaces the first. Default: no proxy, and the environment is not read.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::builder()
    ///     .proxy("http://proxy.example.com:3128")
    ///     .no_proxy(".corp.example.com, 10.0.0.0/8")
    ///     .build()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn proxy(mut self, url: &str) -> Self {
        match Proxy::parse(url) {
            Ok(proxy) => (self.proxies.https, self.proxies.http) = (Some(proxy.clone()), Some(proxy)),
            Err(mistake) => self.note(mistake),
        }
        self
    }

    /// Sends `Proxy-Authorization: Basic` (RFC 7617) to the proxy, and to nothing else.
    ///
    /// It replaces the credentials in the URL of an environment variable. A second call replaces the first. Note that a
    /// proxy with `http` receives it in the clear. Default: none.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::builder()
    ///     .proxy("https://proxy.example.com:8443")
    ///     .proxy_credentials("reports", "s3cret")
    ///     .build()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn proxy_credentials(mut self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.proxy_credentials = Some((user.into(), password.into()));
        self
    }

    /// Connects directly to the hosts in this list, which is read like `NO_PROXY`.
    ///
    /// Repeatable: lists add up. Entries are separated by commas or blanks. `example.com`, `.example.com` and
    /// `*.example.com` all mean that domain and everything below it, `10.0.0.1` and `10.0.0.0/8` an address and a
    /// network, `*` all hosts. A port (`example.com:8443`) limits a host or an address to that port. Names are not
    /// resolved. Default: none.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::builder()
    ///     .proxy("http://proxy.example.com:3128")
    ///     .no_proxy("login.example.com:8443, .corp.example.com, 10.0.0.0/8")
    ///     .build()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn no_proxy(mut self, list: &str) -> Self {
        if let Err(mistake) = self.proxies.add_no_proxy(list) {
            self.note(mistake);
        }
        self
    }

    /// Connects through the proxy that the environment names.
    ///
    /// Reads `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` at once, as curl does. `HTTPS_PROXY` is for `https` requests and
    /// goes before `ALL_PROXY`, which is for plain `http` too. A lower-case name goes before the same one in capitals,
    /// and an empty variable counts as not set. A proxy URL may lack its scheme, which is then `http`, and may hold
    /// user name and password; SOCKS is not supported. `NO_PROXY` adds to [`no_proxy`](Self::no_proxy), and what in it
    /// names no host is ignored. A variable that is set replaces the proxy of [`proxy`](Self::proxy). Default: the
    /// environment is not read.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::builder().proxy_from_env().build()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn proxy_from_env(mut self) -> Self {
        if let Err(mistake) = self.proxies.add_env() {
            self.note(mistake);
        }
        self
    }

    /// Speaks HTTP/1.1 only.
    ///
    /// Default: HTTP/2 where the server selects it during the TLS handshake (ALPN), else HTTP/1.1. Use it for a server
    /// or a load balancer whose HTTP/2 misbehaves, or that selects HTTP/2 and then resets each request with
    /// `HTTP_1_1_REQUIRED` (RFC 9113, section 7).
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::builder().http1_only().build()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn http1_only(mut self) -> Self {
        self.http1_only = true;
        self
    }

    /// Sets how long an idle connection is kept for the next request.
    ///
    /// Default: 90 s, as in hyper. Zero keeps no idle connection; more than a day counts as a day. Choose a little less
    /// than the idle timeout of the server, or of the load balancer before it: a request that is sent while the other
    /// side closes the connection fails. Choose zero for `http` requests through a proxy that closes each connection
    /// without announcing it, as tinyproxy does. Token requests are not affected, since a grant keeps no idle connections.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_outbound_auth::client::HttpsClient;
    ///
    /// let client = HttpsClient::builder().pool_idle_timeout(Duration::from_secs(30)).build()?;
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        // A time that cannot be added to the clock would end the task that closes idle connections.
        self.pool_idle_timeout = timeout.min(A_DAY);
        self
    }

    /// Checks the settings and builds the client. Needs no runtime, and sends nothing.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), with what to change: PEM text without a certificate or key, or with one
    /// that cannot be read; a key that does not belong to the certificate; a proxy URL or a `no_proxy` entry that
    /// cannot be read; proxy credentials that cannot be sent, or without a proxy; an empty system store. The message
    /// never contains a key or a password.
    pub fn build(mut self) -> Result<HttpsClient, AuthError> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        if let Some((user, password)) = &self.proxy_credentials {
            self.proxies.authorize(user, password.expose_secret())?;
        }
        let mut roots = RootCertStore { roots: self.roots };
        #[cfg(feature = "native-roots")]
        if self.native_roots {
            super::native_roots::add_to(&mut roots)?;
        }
        if self.mozilla_roots || roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let name = |proxy: &Option<Proxy>| proxy.as_ref().map(|proxy| proxy.origin.to_string());
        let summary = Summary {
            roots: roots.len(),
            identity: self.identity.is_some(),
            https_proxy: name(&self.proxies.https),
            http_proxy: name(&self.proxies.http),
            http1_only: self.http1_only,
        };
        let mut tls = tls(roots)?;
        let proxies = Arc::new(self.proxies);
        let connector = Connector::new(Arc::clone(&proxies), tls.clone());
        if let Some(identity) = self.identity {
            tls.client_auth_cert_resolver = identity;
        }
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let https = if self.http1_only {
            https.wrap_connector(connector)
        } else {
            https.enable_http2().wrap_connector(connector)
        };
        Ok(HttpsClient::new_with(https, proxies, self.pool_idle_timeout, summary))
    }

    /// Keeps the first mistake, for `build` to return.
    fn note(&mut self, mistake: AuthError) {
        self.mistake.get_or_insert(mistake);
    }
}

impl Default for HttpsClientBuilder {
    /// Starts with Mozilla's roots, no certificate and no proxy.
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            mozilla_roots: false,
            #[cfg(feature = "native-roots")]
            native_roots: false,
            identity: None,
            proxies: Proxies::default(),
            proxy_credentials: None,
            http1_only: false,
            pool_idle_timeout: Duration::from_secs(90),
            mistake: None,
        }
    }
}

impl fmt::Debug for HttpsClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsClientBuilder")
            .field("roots", &self.roots.len())
            .field("mozilla_roots", &self.mozilla_roots)
            .field("identity", &self.identity.is_some())
            .field("proxies", &self.proxies)
            .field("proxy_user", &self.proxy_credentials.as_ref().map(|(user, _)| user))
            .field("http1_only", &self.http1_only)
            .field("pool_idle_timeout", &self.pool_idle_timeout)
            .field("mistake", &self.mistake)
            .finish_non_exhaustive()
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

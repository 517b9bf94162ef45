//! The settings of the grant, checked before the first token request is sent.

mod authentication;

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING},
};
use http_body::Body;
use http_body_util::Full;
use secrecy::ExposeSecret;
use tower_service::Service;
use zeroize::Zeroizing;

use super::{
    assertion::AssertionSource,
    client_auth::ClientAuth,
    echo::Past,
    exchange::{self, Exchange},
    grant::{ClientCredentialsGrant, GrantSettings},
};
use crate::{
    credentials::Credentials,
    error::{AuthError, BoxError},
};

/// Builder for [`ClientCredentialsGrant`].
///
/// No setter fails: [`build`](Self::build) returns the first mistake.
#[must_use = "a builder does nothing until `build`"]
pub struct ClientCredentialsGrantBuilder {
    server: ServerName,
    credentials: Credentials,
    client_auth: ClientAuth,
    assertions: Option<Box<dyn AssertionSource>>,
    omit_client_id: bool,
    grant_type: String,
    scopes: Vec<String>,
    audience: Option<String>,
    resources: Vec<String>,
    params: Vec<(String, Zeroizing<String>)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    json_body: bool,
    token_types: Vec<String>,
    timeout: Duration,
    insecure_http: bool,
    exchange: Option<Box<dyn Exchange>>,
}

/// What tells where token requests go.
enum ServerName {
    TokenUrl(String),
    Issuer(String),
}

impl ClientCredentialsGrant {
    /// Returns a builder for the grant at this token endpoint.
    ///
    /// The URL is `https://`, or `http://` to this machine; its query, if it has one, is sent as it is.
    pub fn builder(token_url: &str, credentials: Credentials) -> ClientCredentialsGrantBuilder {
        ClientCredentialsGrantBuilder::new(ServerName::TokenUrl(token_url.to_owned()), credentials)
    }
}

impl ClientCredentialsGrantBuilder {
    fn new(server: ServerName, credentials: Credentials) -> Self {
        Self {
            server,
            credentials,
            client_auth: ClientAuth::default(),
            assertions: None,
            omit_client_id: false,
            grant_type: "client_credentials".to_owned(),
            scopes: Vec::new(),
            audience: None,
            resources: Vec::new(),
            params: Vec::new(),
            headers: Vec::new(),
            json_body: false,
            token_types: Vec::new(),
            timeout: Duration::from_secs(10),
            insecure_http: false,
            exchange: None,
        }
    }

    /// Sets how the client authenticates to the token endpoint.
    ///
    /// Default: [`ClientAuth::Body`]. Exactly one method is used; nothing is tried in turn.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::Credentials;
    /// use tower_outbound_auth::oauth::{ClientAuth, ClientCredentialsGrant};
    ///
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .client_auth(ClientAuth::Basic)
    ///     .build();
    /// # }
    /// ```
    pub fn client_auth(mut self, method: ClientAuth) -> Self {
        self.client_auth = method;
        self
    }

    /// Requests a scope (RFC 6749, section 3.3).
    ///
    /// Repeatable: all are sent in one `scope`, joined by a space. Default: none, and the server decides.
    /// [`AccessToken::scope`](crate::token::AccessToken::scope) returns what was granted.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .scope("reports:read")
    ///     .scope("reports:write")
    ///     .build();
    /// # }
    /// ```
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Sends `audience`, the name of the API that the token is for.
    ///
    /// Some servers ask for it, such as Auth0. Default: not sent. A second call replaces the first.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials)
    ///     .audience("https://api.example.com/")
    ///     .build();
    /// # }
    /// ```
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sends `resource`, the URI of an API that the token is for (RFC 8707).
    ///
    /// Repeatable: each is sent as a parameter. Default: not sent.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .resource("https://api.example.com/reports")
    ///     .build();
    /// # }
    /// ```
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// Sends another parameter that the server asks for.
    ///
    /// Repeatable, once for each name. Default: none. The value is wiped when the grant is dropped, and no error or
    /// trace event shows it, since it may be a credential. For scope, audience and resource use the methods of that
    /// name. The grant sends `grant_type`, `client_id` and `client_secret` itself; only beside [`ClientAuth::Basic`] and
    /// [`ClientAuth::BasicUnencoded`], which leave the body without it, may `client_id` be added, with the credentials' id.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .param("tenant", "customer-17")
    ///     .build();
    /// # }
    /// ```
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), Zeroizing::new(value.into())));
        self
    }

    /// Sends this header with each token request.
    ///
    /// A second value for the same header replaces the first. It also replaces what is sent by default: `Accept:
    /// application/json`, `Accept-Encoding: identity` and `User-Agent: tower-outbound-auth/<version>`. The value is
    /// marked sensitive. `Content-Type`, `Content-Length`, `Host`, `Transfer-Encoding` and `Connection` cannot be set,
    /// nor can `Authorization` where [`ClientAuth`] uses it.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// use http::{HeaderName, HeaderValue, header::USER_AGENT};
    ///
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .header(USER_AGENT, HeaderValue::from_static("reports/2.1"))
    ///     .header(HeaderName::from_static("x-api-key"), HeaderValue::from_static("k3y"))
    ///     .build();
    /// # }
    /// ```
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.push((name, value));
        self
    }

    /// Sets the value of `grant_type`.
    ///
    /// Default: `client_credentials`. Use it for a server that has another name for the same grant, and set the
    /// parameters that it needs with [`param`](Self::param).
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .grant_type("account_credentials")
    ///     .param("account_id", "17")
    ///     .build();
    /// # }
    /// ```
    pub fn grant_type(mut self, grant_type: impl Into<String>) -> Self {
        self.grant_type = grant_type.into();
        self
    }

    /// Sends the parameters as a JSON object, for servers that do not accept a form.
    ///
    /// Default: `application/x-www-form-urlencoded`, as the RFC says. Each parameter becomes a string; several
    /// [`resource`](Self::resource)s become a list of strings.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials).json_body().build();
    /// # }
    /// ```
    pub fn json_body(mut self) -> Self {
        self.json_body = true;
        self
    }

    /// Accepts tokens of this type besides `Bearer`, in any case. Repeatable.
    ///
    /// Default: `Bearer`, and no type at all. Use it for servers with another name for bearer tokens, such as
    /// `BearerToken`. The layer sends the token as it sends all others: see
    /// [`AuthLayerBuilder`](crate::AuthLayerBuilder). Tokens that are used in another way, such as `DPoP` or `mac`,
    /// will not work.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .accept_token_type("BearerToken")
    ///     .build();
    /// # }
    /// ```
    pub fn accept_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.token_types.push(token_type.into());
        self
    }

    /// Sets the time limit of one HTTP exchange.
    ///
    /// It runs from connecting to the end of the response. Default: 10 s, so that three attempts fit into the 30 s of a
    /// fetch. With zero, every request to a server times out; above the
    /// [deadline](crate::token::RefreshPolicy::deadline) of a fetch it has no effect. Lower it if your server either
    /// answers fast or not at all.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// use std::time::Duration;
    ///
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .timeout(Duration::from_secs(3))
    ///     .build();
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Allows a token URL with plain `http` to another machine.
    ///
    /// Default: refused, because everyone on the way can read the secret and the token. `http` to this machine needs no
    /// permission.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::{Credentials, oauth::ClientCredentialsGrant};
    /// # fn grant(credentials: Credentials) {
    /// let grant = ClientCredentialsGrant::builder("http://login.cluster.internal/token", credentials)
    ///     .allow_insecure_http()
    ///     .build();
    /// # }
    /// ```
    pub fn allow_insecure_http(mut self) -> Self {
        self.insecure_http = true;
        self
    }

    /// Sends token requests through this HTTP client.
    ///
    /// Default: an `HttpsClient` (feature `client`) that trusts Mozilla's roots and uses no proxy. Build one with other
    /// settings for a private certification authority, mutual TLS or a proxy, or pass any other Tower client, such as a
    /// `service_fn` in a test. Layers around the client work as usual, but it must neither follow redirects nor be
    /// wrapped in the `AuthLayer` that this grant is for: the token request would wait for itself.
    ///
    /// # Connections
    ///
    /// A token request must not share connections with the requests to the API. When a token is rejected, the rejected
    /// responses are read to their end while the new token is fetched; over one HTTP/2 connection, or from a pool with
    /// a limit, the token request could wait for the very responses that wait for it. An `HttpsClient` given here
    /// therefore opens its own connections, with the same settings, and keeps none idle: there is one token request in
    /// the lifetime of a token, and an idle connection would not survive that long. Any other client, and one in
    /// layers, is used as it is; give it a separate pool.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # #[cfg(feature = "client")] {
    /// # use tower_outbound_auth::{BoxError, Credentials};
    /// use tower_outbound_auth::{client::HttpsClient, oauth::ClientCredentialsGrant};
    ///
    /// # fn grant(credentials: Credentials) -> Result<(), BoxError> {
    /// let https = HttpsClient::builder().root_certificates(std::fs::read("/etc/bank/ca.pem")?).build()?;
    /// let grant = ClientCredentialsGrant::builder("https://login.bank.example/token", credentials).transport(https).build()?;
    /// # Ok(()) } }
    /// ```
    pub fn transport<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static, // else a `service_fn`
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        self.exchange = Some(exchange::over(service));
        self
    }

    /// Checks the settings and builds the grant. Needs no runtime, and sends nothing.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), with what to change: a token URL that cannot be read or is plain `http`;
    /// an issuer with a query; credentials that the method of [`client_auth`](Self::client_auth) cannot send, or that
    /// have a secret beside an assertion; a parameter that is set twice or belongs to the grant; a header that cannot
    /// be set; no transport, without the feature `client` or with [`ClientAuth::Certificate`].
    pub fn build(self) -> Result<ClientCredentialsGrant, AuthError> {
        let endpoint = self.check_endpoint()?;
        self.check_client_auth()?;
        if self.grant_type.is_empty() {
            return Err(AuthError::config("`grant_type` is empty; leave it out for \"client_credentials\""));
        }
        let (params, headers) = (self.check_params()?, self.check_headers()?);
        let past = Past::default();
        // It may be rotated before the first token request.
        past.note_secret(self.credentials.client_id(), self.credentials.secret().expose_secret());
        let exchange = match self.exchange {
            Some(exchange) => exchange,
            None if self.client_auth == ClientAuth::Certificate => {
                return Err(AuthError::config(
                    "`client_auth`: Certificate needs a `transport` that has the certificate, such as an `HttpsClient` with \
                     `identity`",
                ));
            }
            None => default_exchange()?,
        };
        if self.assertions.is_none() && self.client_auth.sends_secret() {
            self.credentials.keep_previous();
        }
        Ok(ClientCredentialsGrant::new_with(GrantSettings {
            endpoint,
            credentials: self.credentials,
            client_auth: self.client_auth,
            assertions: self.assertions,
            omit_client_id: self.omit_client_id,
            grant_type: self.grant_type,
            params,
            headers,
            json_body: self.json_body,
            token_types: self.token_types,
            timeout: self.timeout,
            exchange,
            past,
        }))
    }

    fn check_params(&self) -> Result<Vec<(String, Zeroizing<String>)>, AuthError> {
        let mut params: Vec<(String, Zeroizing<String>)> = Vec::new();
        if !self.scopes.is_empty() {
            params.push(("scope".to_owned(), self.scopes.join(" ").into()));
        }
        params.extend(self.audience.iter().map(|audience| ("audience".to_owned(), audience.clone().into())));
        for (name, value) in &self.params {
            if self.assertions.is_some() && ["client_assertion", "client_assertion_type"].contains(&name.as_str()) {
                return Err(AuthError::config(format!(
                    "`param`: {name} is what `client_assertion` sends; leave it out"
                )));
            }
            let id = self.credentials.client_id();
            let is_beside_basic = self.client_auth.is_basic() && (name.as_str(), value.as_str()) == ("client_id", id);
            if let Some((_, setting)) = OWN_PARAMS.iter().find(|(own, _)| own == name && !is_beside_basic) {
                return Err(AuthError::config(format!("`param`: {name} is set already; use {setting} to change it")));
            }
            if name != "resource" && params.iter().any(|(other, _)| other == name) {
                return Err(AuthError::config(format!(
                    "`param`: {name:?} is set twice, which is not allowed (RFC 6749, section 3.2)"
                )));
            }
            params.push((name.clone(), value.clone()));
        }
        params.extend(self.resources.iter().map(|resource| ("resource".to_owned(), resource.clone().into())));
        Ok(params)
    }

    fn check_headers(&self) -> Result<HeaderMap, AuthError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if OWN_HEADERS.contains(name) {
                return Err(AuthError::config(format!("`header`: {name} is not yours to set; leave it out")));
            }
            if self.client_auth.is_basic() && name == AUTHORIZATION {
                let method = self.client_auth;
                return Err(AuthError::config(format!(
                    "`header`: authorization is used by the client authentication; choose another than {method:?} with \
                     `client_auth`, or leave it out"
                )));
            }
            headers.insert(name, value.clone());
            // A map panics where it is full, long after this.
            if headers.len() > MAX_HEADERS {
                return Err(AuthError::config(format!("`header`: more than {MAX_HEADERS} headers; leave some out")));
            }
        }
        Ok(headers)
    }
}

impl fmt::Debug for ClientCredentialsGrantBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentialsGrantBuilder")
            .field("credentials", &self.credentials)
            .field("client_auth", &self.client_auth)
            .field("client_assertion", &self.assertions.is_some())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "client")]
fn default_exchange() -> Result<Box<dyn Exchange>, AuthError> {
    Ok(exchange::over(crate::client::HttpsClient::new()?))
}

#[cfg(not(feature = "client"))]
fn default_exchange() -> Result<Box<dyn Exchange>, AuthError> {
    Err(AuthError::config("no HTTP client for token requests; set `transport`, or enable the feature `client`"))
}

/// What the body holds anyway, and the setting for it.
const OWN_PARAMS: [(&str, &str); 3] = [
    ("grant_type", "`grant_type`"),
    ("client_id", "the credentials of the builder"),
    ("client_secret", "the credentials of the builder"),
];
const OWN_HEADERS: [HeaderName; 5] = [CONTENT_TYPE, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, CONNECTION];
const MAX_HEADERS: usize = 100;

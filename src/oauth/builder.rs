//! The settings of a token request, checked before the first is sent.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{
    exchange::{Exchange, Through},
    grant::{ClientCredentialsGrant, Inner},
};
use crate::{
    credentials::{Credentials, Secret},
    error::{AuthError, BoxError},
    origin::Origin,
    time::OriginKey,
};

/// How the client proves itself to the token endpoint (RFC 6749, section 2.3).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Id and secret in the form, known as `client_secret_post`. The default: PayNet wants it, and hardly a server
    /// refuses it.
    #[default]
    Body,
    /// `Authorization: Basic`, id and secret form-encoded first, as the RFC has it: `client_secret_basic`.
    ///
    /// Where that changes the id or the secret, a refusal says that the server [may want](crate::guide::servers) the other
    /// one.
    Basic,
    /// `Authorization: Basic` without the encoding, for servers that do not undo it.
    BasicUnencoded,
    /// The client's certificate alone: `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705, section 2).
    ///
    /// The form has the id, and no secret is sent: one that is empty will do. The certificate is the transport's, see
    /// [`identity`](crate::client::HttpsClientBuilder::identity).
    Certificate,
}

impl ClientAuth {
    pub(super) fn sends_secret(self) -> bool {
        self != Self::Certificate
    }

    /// Checks whether this method can send these credentials.
    pub(super) fn check(self, credentials: &Credentials, secret: &Secret) -> Result<(), AuthError> {
        credentials.check_id()?;
        if self.sends_secret() { secret.check() } else { Ok(()) }
    }
}

/// Settings of a [`ClientCredentialsGrant`] to be.
#[must_use = "a builder does nothing until `build`"]
pub struct ClientCredentialsGrantBuilder {
    token_url: String,
    credentials: Credentials,
    client_auth: ClientAuth,
    scopes: Vec<String>,
    audience: Option<String>,
    resources: Vec<String>,
    params: Vec<(String, String)>,
    timeout: Duration,
    insecure_http: bool,
    exchange: Option<Box<dyn Exchange>>,
}

impl ClientCredentialsGrantBuilder {
    pub(super) fn new(token_url: &str, credentials: Credentials) -> Self {
        Self {
            token_url: token_url.to_owned(),
            credentials,
            client_auth: ClientAuth::default(),
            scopes: Vec::new(),
            audience: None,
            resources: Vec::new(),
            params: Vec::new(),
            timeout: Duration::from_secs(10),
            insecure_http: false,
            exchange: None,
        }
    }

    /// How the client proves itself. Default: [`ClientAuth::Body`].
    pub fn client_auth(mut self, method: ClientAuth) -> Self {
        self.client_auth = method;
        self
    }

    /// Asks for a scope (RFC 6749, section 3.3). Repeatable: all are sent in one `scope`, joined by a space.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Sends `audience`, as some servers want it to name the API. A second call replaces the first.
    pub fn audience(mut self, v: impl Into<String>) -> Self {
        self.audience = Some(v.into());
        self
    }

    /// Sends `resource` (RFC 8707): the URI of an API that the token is for. Repeatable.
    pub fn resource(mut self, v: impl Into<String>) -> Self {
        self.resources.push(v.into());
        self
    }

    /// Sends a parameter of the server's own.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// How long one HTTP exchange may take, from connecting to the end of the answer.
    ///
    /// Default 10 s: three tries then fit into the 30 s of a flight.
    pub fn timeout(mut self, t: Duration) -> Self {
        self.timeout = t;
        self
    }

    /// Allows plain `http` beyond this machine, where whoever is on the way can read the secret.
    pub fn allow_insecure_http(mut self) -> Self {
        self.insecure_http = true;
        self
    }

    /// Sends token requests through this service instead of the ready-made client: an
    /// [`client::HttpsClient`](crate::client::HttpsClient) for a private CA, mutual TLS or a proxy, or any service in a test.
    ///
    /// It must not follow redirects, and must not be one that the layer has wrapped: that would wait for itself.
    pub fn transport<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static, // else a `service_fn`
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        self.exchange = Some(Box::new(Through(service)));
        self
    }

    /// Checks the settings and makes the source. No runtime is needed, and nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), with what to change: a token URL that is none or that would carry the secret
    /// in the clear, an id or a secret that cannot be sent, a parameter twice or in place of the credentials, or no
    /// transport without the feature `client`.
    pub fn build(self) -> Result<ClientCredentialsGrant, AuthError> {
        let (token_url, clock) = self.check_url()?;
        self.client_auth.check(&self.credentials, &self.credentials.secret())?;
        if self.client_auth == ClientAuth::BasicUnencoded && self.credentials.client_id().contains(':') {
            return Err(AuthError::config(
                "a client id with a colon cannot be sent by BasicUnencoded: use Basic or Body",
            ));
        }
        let params = self.params()?;
        let exchange = match self.exchange {
            Some(exchange) => exchange,
            None if self.client_auth == ClientAuth::Certificate => {
                return Err(AuthError::config(
                    "ClientAuth::Certificate takes a transport() with the certificate: an client::HttpsClient with identity()",
                ));
            }
            None => ready_made()?,
        };
        Ok(ClientCredentialsGrant::of(Inner {
            token_url,
            credentials: self.credentials,
            client_auth: self.client_auth,
            params,
            timeout: self.timeout,
            exchange,
            clock,
        }))
    }

    fn check_url(&self) -> Result<(Uri, Option<OriginKey>), AuthError> {
        let (url, origin) = Origin::of_url("token_url", &self.token_url)?;
        let trusted = origin.is_trusted();
        if !trusted && !self.insecure_http {
            return Err(AuthError::config(format!(
                "the token endpoint at {origin} would get the secret in the clear: use https, or allow_insecure_http() \
                 where that is meant"
            )));
        }
        Ok((url, trusted.then_some(origin.key())))
    }

    fn params(&self) -> Result<Vec<(String, String)>, AuthError> {
        let mut params = Vec::new();
        if !self.scopes.is_empty() {
            params.push(("scope".to_owned(), self.scopes.join(" ")));
        }
        params.extend(self.audience.iter().map(|audience| ("audience".to_owned(), audience.clone())));
        for (name, value) in &self.params {
            if ["grant_type", "client_id", "client_secret"].contains(&name.as_str()) {
                return Err(AuthError::config(format!(
                    "{name} is not for param(): grant and credentials are set already"
                )));
            }
            if name != "resource" && params.iter().any(|(other, _)| other == name) {
                return Err(AuthError::config(format!("the parameter {name:?} is set twice (RFC 6749, section 3.2)")));
            }
            params.push((name.clone(), value.clone()));
        }
        params.extend(self.resources.iter().map(|resource| ("resource".to_owned(), resource.clone())));
        Ok(params)
    }
}

impl fmt::Debug for ClientCredentialsGrantBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentialsGrantBuilder")
            .field("credentials", &self.credentials)
            .field("client_auth", &self.client_auth)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "client")]
fn ready_made() -> Result<Box<dyn Exchange>, AuthError> {
    Ok(Box::new(Through(crate::client::HttpsClient::builder().build()?)))
}

#[cfg(not(feature = "client"))]
fn ready_made() -> Result<Box<dyn Exchange>, AuthError> {
    Err(AuthError::config("no transport for token requests: set one, or enable the feature `client`"))
}

//! Where token requests go, and how the client authenticates there.

use secrecy::ExposeSecret;

use super::{ClientCredentialsGrantBuilder, ServerName};
use crate::{
    credentials::Credentials,
    error::AuthError,
    oauth::{ClientAuth, ClientCredentialsGrant, assertion::AssertionSource, discovery::Wanted, endpoint::Endpoint},
};

impl ClientCredentialsGrant {
    /// Returns a builder for the grant at the server with this issuer identifier.
    ///
    /// The first token fetch reads the server's discovery document, from the place that RFC 8414 names, or else from that of
    /// OpenID Connect Discovery. The document names the token endpoint; for
    /// [`ClientAuth::Certificate`] that in its `mtls_endpoint_aliases`, if there is one. It also tells `PrivateKeyJwt` (feature
    /// `jwt`) the issuer, for `Audience::Issuer`.
    ///
    /// The issuer is `https://`, or `http://` to this machine, and must be the document's `issuer` character for character,
    /// the final slash included. At most 64 KiB are read, redirects are followed within the issuer's origin only, and the
    /// whole takes at most the [`timeout`](ClientCredentialsGrantBuilder::timeout) of one exchange. The document is kept, and
    /// read again by the first token fetch after 6 hours, or after a 404 of the token endpoint; if that fails, the old one
    /// stays in use.
    ///
    /// # What it never changes
    ///
    /// Your settings. If the document excludes one of them, the token fetch fails with
    /// [`Config`](crate::ErrorKind::Config) and lists what the server supports: the client authentication, the
    /// algorithm of an assertion, or the grant type. A list that is absent or empty excludes nothing.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::{
    ///     AuthError, Credentials,
    ///     oauth::{ClientAuth, ClientCredentialsGrant},
    /// };
    ///
    /// # #[cfg(feature = "client")]
    /// fn grant(credentials: Credentials) -> Result<ClientCredentialsGrant, AuthError> {
    ///     ClientCredentialsGrant::discover("https://login.example.com/realms/bank", credentials)
    ///         .client_auth(ClientAuth::Basic)
    ///         .build()
    /// }
    /// ```
    pub fn discover(issuer: &str, credentials: Credentials) -> ClientCredentialsGrantBuilder {
        ClientCredentialsGrantBuilder::new(ServerName::Issuer(issuer.to_owned()), credentials)
    }
}

impl ClientCredentialsGrantBuilder {
    /// Authenticates with an assertion in place of a secret (RFC 7521, section 4.2).
    ///
    /// Leave [`client_auth`](Self::client_auth) out, and use [`Credentials::without_secret`]. The source is asked for a
    /// new assertion for every token request. Only the [deadline](crate::token::RefreshPolicy::deadline) of the fetch
    /// limits how long it takes. A second call replaces the first. The guide says [which client
    /// authentication](crate::guide::client_authentication) to use.
    ///
    /// # Example
    ///
    /// ```
    /// # use tower_outbound_auth::Credentials;
    /// use tower_outbound_auth::oauth::{AssertionFile, ClientCredentialsGrant};
    ///
    /// let credentials = Credentials::without_secret("my-client");
    /// let grant = ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
    ///     .client_assertion(AssertionFile::new("/var/run/secrets/tokens/login"))
    ///     .build();
    /// ```
    pub fn client_assertion(mut self, source: impl AssertionSource) -> Self {
        self.assertions = Some(Box::new(source));
        self
    }

    /// Sends no `client_id` beside an assertion.
    ///
    /// Default: it is sent, which most servers want or ignore. Use it for servers that read the client from the
    /// assertion alone (RFC 7521, section 4.2) and refuse the parameter. Without
    /// [`client_assertion`](Self::client_assertion) it has no effect.
    pub fn omit_client_id(mut self) -> Self {
        self.omit_client_id = true;
        self
    }

    pub(super) fn check_endpoint(&self) -> Result<Endpoint, AuthError> {
        match &self.server {
            ServerName::TokenUrl(url) => Endpoint::given(url, self.insecure_http),
            ServerName::Issuer(issuer) => {
                let client_auth = self.assertions.is_none().then_some(self.client_auth);
                Endpoint::discovered(
                    issuer,
                    self.insecure_http,
                    Wanted { grant_type: self.grant_type.clone(), client_auth },
                )
            }
        }
    }

    pub(super) fn check_client_auth(&self) -> Result<(), AuthError> {
        let secret = self.credentials.secret();
        if self.assertions.is_none() {
            return self.client_auth.check(&self.credentials, &secret);
        }
        if !secret.expose_secret().is_empty() {
            return Err(AuthError::config(
                "`client_assertion` with credentials that have a secret; use `Credentials::without_secret`, or leave the \
                 assertion out",
            ));
        }
        if self.client_auth != ClientAuth::default() {
            let method = self.client_auth;
            return Err(AuthError::config(format!(
                "`client_assertion` with `client_auth` {method:?}: a client authenticates in one way; leave one of them out"
            )));
        }
        // Then nothing sends it.
        if self.omit_client_id && self.credentials.client_id().is_empty() {
            Ok(())
        } else {
            self.credentials.check_id()
        }
    }
}

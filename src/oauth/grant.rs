//! The token request (RFC 6749, section 4.4) as a source of tokens.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use secrecy::ExposeSecret;

use super::{
    builder::{ClientAuth, ClientCredentialsGrantBuilder},
    exchange::Exchange,
    wire,
};
use crate::{
    credentials::{Credentials, Secret},
    error::{AuthError, ErrorKind},
    time::{self, Moment, OriginKey},
    token::{AccessToken, FetchRequest, TokenSource},
};

/// Tokens by the OAuth 2.0 client-credentials grant (RFC 6749, section 4.4).
///
/// One `POST` for each token, over `https` (or plain `http` to this machine), without following a redirect. Clones share
/// everything.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::{AuthError, Credentials, oauth::{ClientAuth, ClientCredentialsGrant}};
///
/// # #[cfg(feature = "client")]
/// fn source() -> Result<ClientCredentialsGrant, AuthError> {
///     let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
///     ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials)
///         .client_auth(ClientAuth::Basic)
///         .scope("reports:read")
///         .timeout(Duration::from_secs(5))
///         .build()
/// }
/// ```
#[derive(Clone)]
pub struct ClientCredentialsGrant {
    inner: Arc<Inner>,
}

/// The settings, checked.
pub(super) struct Inner {
    pub(super) token_url: Uri,
    pub(super) credentials: Credentials,
    pub(super) client_auth: ClientAuth,
    /// What the form holds besides grant and credentials.
    pub(super) params: Vec<(String, String)>,
    pub(super) timeout: Duration,
    pub(super) exchange: Box<dyn Exchange>,
    /// Whose clock the response tells, if it may be learnt.
    pub(super) clock: Option<OriginKey>,
}

impl ClientCredentialsGrant {
    /// Starts a source that asks for tokens at this URL.
    pub fn builder(token_url: &str, credentials: Credentials) -> ClientCredentialsGrantBuilder {
        ClientCredentialsGrantBuilder::new(token_url, credentials)
    }

    pub(super) fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    async fn ask(&self) -> Result<AccessToken, AuthError> {
        let inner = &*self.inner;
        let asked = Moment::now();
        // One snapshot for the request, its errors and its token, as the secret may be rotated at any time.
        let secret = inner.credentials.secret();
        let exchange = inner.exchange.exchange(inner.request(&secret)?);
        let mut answer = time::within(inner.timeout, exchange)
            .await
            .ok_or_else(|| AuthError::new(ErrorKind::Timeout, "the authorization server did not answer in time"))??;
        if let Some(body) = answer.body.as_deref_mut() {
            wire::unescape_slashes(body);
        }
        let (head, body) = (&answer.head, answer.body.as_ref().map(|body| body.as_slice()));
        let read = wire::read(head.status, &head.headers, body, asked.wall);
        let token = read.map_err(|error| without_echo(inner.with_help(head.status, error, &secret), &secret))?;
        // The server may have made it at any time since it was asked.
        let token = token.created_at(asked).with_server_date(inner.clock.zip(time::date(&head.headers)));
        Ok(if inner.client_auth.sends_secret() { token.obtained_with(&inner.credentials, secret) } else { token })
    }
}

impl Inner {
    fn request(&self, secret: &Secret) -> Result<Request<Full<bytes::Bytes>>, AuthError> {
        self.client_auth.check(&self.credentials, secret)?;
        let id = self.credentials.client_id();
        let secret = secret.expose_secret();
        let (basic, in_body) = match self.client_auth {
            ClientAuth::Body => (None, &[("client_id", id), ("client_secret", secret)][..]),
            ClientAuth::Basic => (Some(wire::basic(id, secret, true)?), &[][..]),
            ClientAuth::BasicUnencoded => (Some(wire::basic(id, secret, false)?), &[][..]),
            ClientAuth::Certificate => (None, &[("client_id", id)][..]),
        };
        let grant = [("grant_type", "client_credentials")];
        let in_body = in_body.iter().copied();
        let params = self.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let form = wire::form(grant.into_iter().chain(in_body).chain(params));

        let mut request = Request::new(Full::new(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.token_url.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(basic) = basic {
            headers.insert(AUTHORIZATION, basic);
        }
        Ok(request)
    }

    /// A client that is not known by one kind of Basic may be known by the other, where that sends something else.
    fn with_help(&self, status: StatusCode, error: AuthError, secret: &Secret) -> AuthError {
        let id = self.credentials.client_id();
        let help = match self.client_auth {
            // One with a colon cannot be sent as it is.
            ClientAuth::Basic if !id.contains(':') => {
                "if id and secret are right, try ClientAuth::BasicUnencoded or Body"
            }
            ClientAuth::BasicUnencoded => "if id and secret are right, try ClientAuth::Basic or Body",
            _ => return error,
        };
        // Some answer 401 or 403 and nothing else, some 401 with a code of their own.
        let is_unknown = match (status, error.oauth_error()) {
            (StatusCode::UNAUTHORIZED, _) | (StatusCode::FORBIDDEN, None) => true,
            (_, code) => matches!(code, Some("invalid_client" | "unauthorized_client")),
        };
        let differs = || wire::is_encoded(id) || wire::is_encoded(secret.expose_secret());
        if error.kind() == ErrorKind::Denied && is_unknown && differs() { error.with_help(help) } else { error }
    }
}

impl TokenSource for ClientCredentialsGrant {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(self.ask())
    }

    fn generation(&self) -> u64 {
        self.inner.credentials.rotations()
    }
}

impl fmt::Debug for ClientCredentialsGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { token_url, credentials, client_auth, params, timeout, .. } = &*self.inner;
        f.debug_struct("ClientCredentialsGrant")
            .field("token_endpoint", &token_url.host())
            .field("credentials", credentials)
            .field("client_auth", client_auth)
            .field("params", &params.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

/// Removes an error code that repeats the secret.
fn without_echo(error: AuthError, secret: &Secret) -> AuthError {
    let secret = secret.expose_secret();
    // An empty one is in every text.
    let echoes = !secret.is_empty() && error.oauth_error().is_some_and(|code| code.contains(secret));
    if echoes { error.without_oauth_error() } else { error }
}

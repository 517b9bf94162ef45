//! The client-credentials grant as a source of tokens (RFC 6749, section 4.4).

mod attempt;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
    response::Parts,
};
use http_body_util::Full;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::{
    assertion::{Assertion, AssertionSource},
    client_auth::{ClientAuth, asks_for_basic},
    echo::{EchoFilter, Past},
    encode,
    endpoint::Endpoint,
    exchange::{Exchange, TokenResponse},
    identity::Identity,
    members,
    server::Server,
    wire::{Expected, Granted},
};
use crate::{
    basic,
    credentials::{Credentials, Secret},
    error::{AuthError, ErrorKind},
    origin::Origin,
    product::PRODUCT,
    time::{self, Moment},
    token::{AccessToken, FetchRequest, TokenSource},
};

/// OAuth 2.0 client-credentials grant (RFC 6749, section 4.4) as a [`TokenSource`].
///
/// Each token is one `POST` to the token endpoint over `https`, or over `http` to this machine. Redirects are not
/// followed. Clones share all settings.
///
/// [`AccessToken::response_field`] returns further members of the token response. Members that are missing, of another
/// type, or repeated are tolerated; only an unusable `access_token` or another `token_type` fails the fetch.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::{
///     AuthError, Credentials,
///     oauth::{ClientAuth, ClientCredentialsGrant},
/// };
///
/// # #[cfg(feature = "client")]
/// fn grant() -> Result<ClientCredentialsGrant, AuthError> {
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
    settings: Arc<GrantSettings>,
}

/// The settings, checked.
pub(super) struct GrantSettings {
    pub(super) endpoint: Endpoint,
    pub(super) credentials: Credentials,
    pub(super) client_auth: ClientAuth,
    /// In place of `client_auth`.
    pub(super) assertions: Option<Box<dyn AssertionSource>>,
    /// Beside an assertion.
    pub(super) omit_client_id: bool,
    pub(super) grant_type: String,
    /// What the body holds besides grant type and credentials.
    pub(super) params: Vec<(String, Zeroizing<String>)>,
    pub(super) headers: HeaderMap,
    pub(super) json_body: bool,
    pub(super) token_types: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) exchange: Box<dyn Exchange>,
    pub(super) past: Past,
}

impl ClientCredentialsGrant {
    pub(super) fn new_with(settings: GrantSettings) -> Self {
        Self { settings: Arc::new(settings) }
    }
}

impl GrantSettings {
    fn request(
        &self,
        server: &Server,
        secret: &Secret,
        assertion: Option<&Assertion>,
    ) -> Result<Request<Full<Bytes>>, AuthError> {
        let id = self.credentials.client_id();
        let mut authorization = None;
        let mut in_body = Vec::new();
        if let Some(assertion) = assertion {
            in_body.extend((!self.omit_client_id).then_some(("client_id", id)));
            in_body.push(("client_assertion_type", assertion.assertion_type()));
            in_body.push(("client_assertion", assertion.expose_secret()));
        } else {
            self.client_auth.check(&self.credentials, secret)?;
            let secret = secret.expose_secret();
            match self.client_auth {
                ClientAuth::Body => in_body.extend([("client_id", id), ("client_secret", secret)]),
                ClientAuth::Basic => authorization = Some(encode::basic(id, secret)?),
                ClientAuth::BasicUnencoded => authorization = Some(basic::header(id, secret)?),
                ClientAuth::Certificate => in_body.push(("client_id", id)),
            }
        }
        let params = self.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs = [("grant_type", self.grant_type.as_str())].into_iter().chain(in_body.iter().copied()).chain(params);
        let (content_type, body) = if self.json_body {
            ("application/json", encode::json(pairs)?)
        } else {
            ("application/x-www-form-urlencoded", encode::form(pairs))
        };

        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = server.uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(request)
    }

    fn read(
        &self,
        response: TokenResponse,
        secret: &Secret,
        server: &Server,
        assertion: Option<&Assertion>,
        rejected: Option<&AccessToken>,
    ) -> Result<Granted, AuthError> {
        let TokenResponse { head, mut body } = response;
        if let Some(body) = body.as_deref_mut() {
            members::repair(body);
        }
        let params = self.params.iter().map(|(_, value)| value.as_str());
        let headers = self.headers.values().filter_map(|value| value.to_str().ok());
        // Some servers want a key there.
        let query = form_urlencoded::parse(server.uri.query().unwrap_or_default().as_bytes());
        let query: Vec<_> = query.map(|(_, value)| value).collect();
        let others = params
            .chain(headers)
            .chain(query.iter().map(AsRef::as_ref))
            .chain(rejected.map(AccessToken::expose_secret))
            .chain(assertion.into_iter().flat_map(telling_parts));
        let echo = EchoFilter::new(&self.past, self.credentials.client_id(), secret.expose_secret(), others);
        let mut expected = Expected { token_types: &self.token_types, echo };
        let read = expected.read(head.status, &head.headers, body.as_ref().map(|body| body.as_slice()));
        read.map_err(|error| {
            let retry_after = time::retry_after(&head.headers, Moment::now().wall);
            self.with_help(&head, error, secret).with_retry_after(retry_after)
        })
    }

    /// Adds what may have made the client unknown.
    fn with_help(&self, head: &Parts, error: AuthError, secret: &Secret) -> AuthError {
        // Some servers answer 401 or 403 and nothing else, some 401 with a code of their own.
        let is_unknown = match (head.status, error.oauth_error()) {
            (StatusCode::UNAUTHORIZED, _) | (StatusCode::FORBIDDEN, None) => true,
            (_, code) => {
                error.kind() == ErrorKind::Denied && matches!(code, Some("invalid_client" | "unauthorized_client"))
            }
        };
        let quotes = match self.credentials.are_quoted(secret) {
            (true, _) => {
                Some("the client id begins or ends with a quotation mark; remove it if it was copied by mistake")
            }
            (_, true) if self.sends_secret() => {
                Some("the client secret begins or ends with a quotation mark; remove it if it was copied by mistake")
            }
            _ => None,
        };
        match quotes.or_else(|| self.other_method(&head.headers, secret)).filter(|_| is_unknown) {
            Some(help) => error.with_help(help),
            None => error,
        }
    }

    /// A client that is not known by one method may be known by another: by `Basic` where the server asks for that, by the
    /// other kind of `Basic` where that sends something else.
    fn other_method(&self, headers: &HeaderMap, secret: &Secret) -> Option<&'static str> {
        if self.assertions.is_some() {
            return None;
        }
        let id = self.credentials.client_id();
        let differs = || [id, secret.expose_secret()].iter().any(|text| encode::encoded(text).as_str() != *text);
        match self.client_auth {
            ClientAuth::Body if asks_for_basic(headers) => {
                Some("the server asks for Basic: if id and secret are right, try ClientAuth::Basic")
            }
            // One with a colon cannot be sent as it is.
            ClientAuth::Basic if !id.contains(':') && differs() => {
                Some("if id and secret are right, try ClientAuth::BasicUnencoded or Body")
            }
            ClientAuth::BasicUnencoded if differs() => {
                Some("if id and secret are right, try ClientAuth::Basic or Body")
            }
            _ => None,
        }
    }

    fn timed_out(&self, origin: &Origin) -> AuthError {
        let timeout = self.timeout;
        let message =
            format!("the authorization server at {origin} did not answer within {timeout:?} (`timeout` of the grant)");
        AuthError::new(ErrorKind::Timeout, message)
    }
}

impl TokenSource for ClientCredentialsGrant {
    fn fetch(
        &self,
        request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(self.settings.fetch_token(request))
    }

    fn generation(&self) -> u64 {
        self.settings.credentials.look_if_due();
        self.settings.credentials.rotations()
    }

    fn identity(&self) -> Option<[u8; 32]> {
        let settings = &*self.settings;
        let (kind, server) = settings.endpoint.name();
        let method = match &settings.assertions {
            // Which key it is made with, no more counts than the secret.
            Some(_) => format!("Assertion, client_id: {}", !settings.omit_client_id),
            None => format!("{:?}", settings.client_auth),
        };
        let mut identity = Identity::default()
            .with(kind, "", server)
            .with("client_id", "", settings.credentials.client_id())
            .with("method", "", method)
            .with("grant_type", "", &settings.grant_type);
        for (name, value) in &settings.params {
            identity = identity.with_param(name, value);
        }
        for (name, value) in &settings.headers {
            identity = identity.with("header", name.as_str(), value);
        }
        for token_type in &settings.token_types {
            identity = identity.with("token_type", "", token_type.trim().to_ascii_lowercase());
        }
        Some(identity.digest())
    }
}

impl fmt::Debug for ClientCredentialsGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GrantSettings { endpoint, credentials, client_auth, assertions, params, headers, timeout, .. } =
            &*self.settings;
        f.debug_struct("ClientCredentialsGrant")
            .field("token_endpoint", endpoint)
            .field("credentials", credentials)
            .field("client_auth", client_auth)
            .field("client_assertion", &assertions.is_some())
            .field("params", &params.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("headers", &headers.keys().collect::<Vec<_>>())
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

/// Those of an assertion that no error may repeat: its beginning, and that of its signature.
fn telling_parts(assertion: &Assertion) -> impl Iterator<Item = &str> {
    let text = assertion.expose_secret();
    let signature = text.rsplit_once('.').map(|(_, signature)| signature);
    [Some(text), signature].into_iter().flatten().map(|part| part.get(..TELLING).unwrap_or(part))
}

/// So many characters of an assertion tell too much.
const TELLING: usize = 12;

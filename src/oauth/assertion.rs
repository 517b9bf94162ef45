//! Assertions, which authenticate a client in place of a secret (RFC 7521, section 4.2).

use std::{fmt, pin::Pin, sync::Arc, time::SystemTime};

use secrecy::{ExposeSecret, SecretString};

use crate::error::AuthError;

type Asserting<'a> = Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>>;

/// Source of assertions for a grant; see
/// [`client_assertion`](crate::oauth::ClientCredentialsGrantBuilder::client_assertion).
///
/// [`AssertionFile`](crate::oauth::AssertionFile) reads them from a file; `PrivateKeyJwt` (feature `jwt`) signs them with a
/// private key. Implement this trait for a key that does not leave its device or service.
///
/// Also implemented for `Arc<T>` and `Box<T>`.
///
/// # Example
///
/// A key management service that signs. The futures are boxed, so that `dyn AssertionSource` works; `#[async_trait]`
/// cannot implement the trait. Use this form:
///
/// ```
/// use std::{future::Future, pin::Pin};
/// use tower_outbound_auth::{
///     AuthError,
///     oauth::{Assertion, AssertionRequest, AssertionSource},
/// };
///
/// struct KeyService {
///     key: String,
/// }
///
/// impl AssertionSource for KeyService {
///     fn assertion<'a>(
///         &'a self,
///         request: AssertionRequest<'a>,
///     ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
///         Box::pin(async move {
///             let jwt = sign(&self.key, request.client_id(), request.token_endpoint()).await?;
///             Ok(Assertion::jwt(jwt))
///         })
///     }
/// }
/// # async fn sign(_key: &str, _id: &str, _audience: &str) -> Result<String, AuthError> { Ok("made-by-hand".to_owned()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of assertions",
    label = "a grant cannot get its assertions from this",
    note = "for a token in a file, use `AssertionFile::new(path)`",
    note = "for a private key in PEM text, use `PrivateKeyJwt::from_pem(..)?` (feature `jwt`); the `?` is easily forgotten",
    note = "for anything else, write `impl AssertionSource for` your own type"
)]
pub trait AssertionSource: Send + Sync + 'static {
    /// Makes an assertion for one token request.
    ///
    /// It is called for every token request, each attempt of a fetch included, since a server accepts the `jti` of an
    /// assertion only once. Do not block: use `spawn_blocking` for a signature that takes longer than 1 ms.
    ///
    /// # Errors
    ///
    /// A [transient](AuthError::is_transient) error is tried again within the same fetch; any other ends it. Use
    /// [`Signing`](crate::ErrorKind::Signing) for a signature that cannot be made, and
    /// [`Unavailable`](crate::ErrorKind::Unavailable) for a service that may soon answer again.
    ///
    /// # Cancellation
    ///
    /// The future is dropped when the [deadline](crate::token::RefreshPolicy::deadline) of the fetch passes, or when its
    /// runtime ends. The [`timeout`](crate::oauth::ClientCredentialsGrantBuilder::timeout) of the grant does not count here.
    fn assertion<'a>(&'a self, request: AssertionRequest<'a>) -> Asserting<'a>;
}

impl<T: AssertionSource + ?Sized> AssertionSource for Arc<T> {
    fn assertion<'a>(&'a self, request: AssertionRequest<'a>) -> Asserting<'a> {
        (**self).assertion(request)
    }
}

impl<T: AssertionSource + ?Sized> AssertionSource for Box<T> {
    fn assertion<'a>(&'a self, request: AssertionRequest<'a>) -> Asserting<'a> {
        (**self).assertion(request)
    }
}

/// Request of a grant to its [`AssertionSource`].
///
/// # Example
///
/// [`new`](Self::new) makes a request for the test of a source:
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use tower_outbound_auth::oauth::AssertionRequest;
///
/// let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// let request = AssertionRequest::new("my-client", "https://login.example.com/token", now);
/// assert_eq!((request.client_id(), request.issuer()), ("my-client", None));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy)]
pub struct AssertionRequest<'a> {
    client_id: &'a str,
    token_endpoint: &'a str,
    issuer: Option<&'a str>,
    now: SystemTime,
}

impl<'a> AssertionRequest<'a> {
    /// Creates a request, to test a source with.
    pub fn new(client_id: &'a str, token_endpoint: &'a str, now: SystemTime) -> Self {
        Self { client_id, token_endpoint, issuer: None, now }
    }

    /// Adds the authorization server's issuer identifier.
    pub fn with_issuer(self, issuer: &'a str) -> Self {
        Self { issuer: Some(issuer), ..self }
    }

    /// Returns the client id.
    ///
    /// It is usually the `iss` and the `sub` of the assertion (RFC 7523, section 3).
    pub fn client_id(&self) -> &'a str {
        self.client_id
    }

    /// Returns the URL of the token endpoint: as it was set, or as discovered.
    pub fn token_endpoint(&self) -> &'a str {
        self.token_endpoint
    }

    /// Returns the authorization server's issuer identifier.
    ///
    /// `None` without [`discover`](crate::oauth::ClientCredentialsGrant::discover).
    pub fn issuer(&self) -> Option<&'a str> {
        self.issuer
    }

    /// Returns the current time, by the server's clock as far as it is known.
    ///
    /// Use it for `iat` and `exp`.
    pub fn now(&self) -> SystemTime {
        self.now
    }
}

impl fmt::Debug for AssertionRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some servers have a key in the query.
        let without_query = self.token_endpoint.split('?').next().unwrap_or_default();
        f.debug_struct("AssertionRequest")
            .field("client_id", &self.client_id)
            .field("token_endpoint", &without_query)
            .field("issuer", &self.issuer)
            .field("now", &self.now)
            .finish()
    }
}

/// An assertion and its type (RFC 7521, section 4.2).
///
/// Its memory is wiped when it is dropped. `Debug` shows the type only.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::oauth::Assertion;
///
/// let assertion = Assertion::jwt("eyJhbGciOi");
/// assert_eq!(assertion.assertion_type(), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
/// assert!(!format!("{assertion:?}").contains("eyJ"));
/// ```
#[derive(Clone)]
pub struct Assertion {
    text: SecretString,
    assertion_type: String,
}

impl Assertion {
    /// Creates an assertion that is a JWT.
    ///
    /// Its type is `urn:ietf:params:oauth:client-assertion-type:jwt-bearer` (RFC 7523, section 2.2).
    pub fn jwt(jwt: impl Into<SecretString>) -> Self {
        Self { text: jwt.into(), assertion_type: JWT_BEARER.to_owned() }
    }

    /// Sets another type.
    ///
    /// SPIFFE's is `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`.
    pub fn with_type(self, urn: impl Into<String>) -> Self {
        Self { assertion_type: urn.into(), ..self }
    }

    /// Returns the assertion itself. Keep it out of logs.
    pub fn expose_secret(&self) -> &str {
        self.text.expose_secret()
    }

    /// Returns its type, a URN.
    pub fn assertion_type(&self) -> &str {
        &self.assertion_type
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").field("assertion_type", &self.assertion_type).finish_non_exhaustive()
    }
}

/// RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

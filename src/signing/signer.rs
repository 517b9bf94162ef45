//! The `Signer` trait, what a signer is given and what it returns.

use std::{fmt, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::{error::AuthError, token::AccessToken};

/// Makes the headers that sign one request.
///
/// [`signer_fn`] turns a closure into a signer. The trait is also implemented for `Arc<T>` and `Box<T>`, so that a signer
/// can be shared or chosen at run time.
///
/// # Example
///
/// ```
/// use http::{HeaderName, HeaderValue};
/// use tower_outbound_auth::{
///     AuthError, ErrorKind,
///     signing::{SignatureHeaders, Signer, SigningContext},
/// };
///
/// /// Sends a key with each request.
/// struct ApiKey(HeaderValue);
///
/// impl Signer for ApiKey {
///     fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
///         if context.uri().query().is_some() {
///             return Err(AuthError::new(ErrorKind::Signing, "requests with a query cannot be signed"));
///         }
///         let mut headers = SignatureHeaders::new();
///         headers.insert(HeaderName::from_static("x-api-key"), self.0.clone());
///         Ok(headers)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Signer`",
    label = "the layer cannot sign requests with this",
    note = "`TimestampHmac::sha256(credentials)` signs as PayNet requires",
    note = "for any other signature, pass a closure to `signer_fn`, or implement `Signer` for your own type"
)]
pub trait Signer: Send + Sync + 'static {
    /// Returns the signature's headers for one request.
    ///
    /// Called just before the request is sent, and again if the request is replayed. It runs on the task that sends the
    /// request, so it must not block. The header of the token, and headers that belong to the HTTP client (`Host`,
    /// `Content-Length`, `Transfer-Encoding`, `Connection` and the like), are not for a signer to write: the request then
    /// fails with [`ErrorKind::Signing`](crate::ErrorKind::Signing).
    ///
    /// # Errors
    ///
    /// Any error fails the request with that error. Use [`ErrorKind::Signing`](crate::ErrorKind::Signing) unless another
    /// kind describes it better.
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError>;

    /// Checks what can be known before the first request.
    ///
    /// Called once, when the layer is built. Default: nothing is checked. Wrappers forward it.
    ///
    /// # Errors
    ///
    /// Any error fails [`AuthLayerBuilder::build`](crate::AuthLayerBuilder::build) with that error. Use
    /// [`ErrorKind::Config`](crate::ErrorKind::Config).
    fn check(&self) -> Result<(), AuthError> {
        Ok(())
    }
}

impl<T: Signer + ?Sized> Signer for Arc<T> {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        (**self).sign(context)
    }

    fn check(&self) -> Result<(), AuthError> {
        (**self).check()
    }
}

impl<T: Signer + ?Sized> Signer for Box<T> {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        (**self).sign(context)
    }

    fn check(&self) -> Result<(), AuthError> {
        (**self).check()
    }
}

/// Creates a [`Signer`] from a closure.
///
/// # Example
///
/// ```
/// use http::{HeaderName, HeaderValue};
/// use tower_outbound_auth::{
///     AuthError, ErrorKind,
///     signing::{SignatureHeaders, SigningContext, signer_fn},
/// };
///
/// let path_echo = signer_fn(|context: &SigningContext<'_>| {
///     let path = HeaderValue::from_str(context.uri().path())
///         .map_err(|error| AuthError::new(ErrorKind::Signing, "the path is not a header value").with_source(error))?;
///     let mut headers = SignatureHeaders::new();
///     headers.insert(HeaderName::from_static("x-path"), path);
///     Ok(headers)
/// });
/// # let _ = path_echo;
/// ```
pub fn signer_fn<F>(f: F) -> SignerFn<F>
where
    F: Fn(&SigningContext<'_>) -> Result<SignatureHeaders, AuthError> + Send + Sync + 'static,
{
    SignerFn { f }
}

/// [`Signer`] returned by [`signer_fn`].
#[derive(Clone, Copy)]
pub struct SignerFn<F> {
    f: F,
}

impl<F> Signer for SignerFn<F>
where
    F: Fn(&SigningContext<'_>) -> Result<SignatureHeaders, AuthError> + Send + Sync + 'static,
{
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        (self.f)(context)
    }
}

impl<F> fmt::Debug for SignerFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerFn").finish_non_exhaustive()
    }
}

/// The request to be signed, as a [`Signer`] sees it.
///
/// The request is complete but for the signature: it has its access token and the layer's static headers.
///
/// # Example
///
/// [`new`](Self::new) makes a context for the test of a signer:
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use http::{HeaderMap, HeaderName, Method, Uri};
/// use tower_outbound_auth::{
///     AuthError, Credentials,
///     signing::{Signer, SigningContext, TimestampHmac},
///     token::AccessToken,
/// };
///
/// let (method, uri, headers) = (Method::GET, Uri::from_static("https://api.example.com/a"), HeaderMap::new());
/// let token = AccessToken::new("abc", None)?;
/// let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
///
/// let signer = TimestampHmac::sha256(Credentials::new("my-client", "my_client_secret"));
/// let signature = signer.sign(&SigningContext::new(&method, &uri, &headers, &token, now))?;
/// let timestamp = signature.get(&HeaderName::from_static("x-timestamp"));
/// assert!(timestamp.is_some_and(|value| value == "1700000000"));
/// # Ok::<(), AuthError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct SigningContext<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    token: &'a AccessToken,
    now: SystemTime,
}

impl<'a> SigningContext<'a> {
    /// Creates a context, to test a signer with.
    pub fn new(
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        token: &'a AccessToken,
        now: SystemTime,
    ) -> Self {
        Self { method, uri, headers, token, now }
    }

    /// Returns the request's method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the request's URI.
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// Returns the request's headers, including the one with the access token.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the access token that the request carries.
    pub fn token(&self) -> &'a AccessToken {
        self.token
    }

    /// Returns the current time, by the server's clock as far as it is known.
    pub fn now(&self) -> SystemTime {
        self.now
    }
}

/// The headers of one signature.
///
/// A clone shares the headers. `Debug` shows their names only.
///
/// # Example
///
/// ```
/// use http::{HeaderName, HeaderValue};
/// use tower_outbound_auth::signing::SignatureHeaders;
///
/// let name = HeaderName::from_static("x-signature");
/// let mut headers = SignatureHeaders::new();
/// headers.insert(name.clone(), HeaderValue::from_static("0123abcd"));
/// assert!(headers.get(&name).is_some_and(HeaderValue::is_sensitive));
/// ```
#[derive(Clone, Default)]
pub struct SignatureHeaders {
    headers: Arc<Vec<(HeaderName, HeaderValue)>>,
}

impl SignatureHeaders {
    /// Creates an empty set of headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header and marks its value as sensitive.
    ///
    /// In the request it replaces any header of that name, one from an earlier `insert` included.
    pub fn insert(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        Arc::make_mut(&mut self.headers).push((name, value));
    }

    /// Returns the value of a header: the last one inserted under that name.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers.iter().rfind(|(other, _)| other == name).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.headers.iter()
    }
}

impl fmt::Debug for SignatureHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.headers.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_header_of_a_name_is_the_one_that_get_returns_and_the_request_carries() {
        let [name, other] = ["x-a", "x-b"].map(HeaderName::from_static);
        let mut signature = SignatureHeaders::new();
        assert_eq!(signature.get(&name), None);
        for (name, value) in [(&name, "1"), (&other, "2"), (&name, "3")] {
            signature.insert(name.clone(), HeaderValue::from_static(value));
        }
        assert_eq!(signature.get(&name), Some(&HeaderValue::from_static("3")));
        assert_eq!(signature.get(&other), Some(&HeaderValue::from_static("2")));
        let mut request = HeaderMap::new();
        for (name, value) in signature.iter() {
            request.insert(name.clone(), value.clone());
        }
        assert_eq!((request.len(), request.get(&name)), (2, signature.get(&name)));
    }
}

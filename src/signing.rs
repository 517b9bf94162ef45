//! Signatures over a request: who makes them, and which requests get them.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use secrecy::ExposeSecret;
use sha2::Sha256;

use crate::{
    credentials::{Credentials, Secret},
    error::AuthError,
    lanes::Lanes,
    token::AccessToken,
};

/// Makes the headers that prove who sent a request, beside its token.
///
/// Called for each request that the layer's [`SignRules`](crate::SignRules) name, as late as can be, and again with a new time when a
/// request is sent again. It must be quick: it runs where the request is sent from.
///
/// # Example
///
/// ```
/// use http::{HeaderName, HeaderValue};
/// use tower_outbound_auth::{AuthError, ErrorKind, SignatureHeaders, Signer, SigningContext};
///
/// struct PathEcho;
///
/// impl Signer for PathEcho {
///     fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
///         let value = HeaderValue::from_str(context.uri().path())
///             .map_err(|error| AuthError::new(ErrorKind::Signing, "the path is no header value").with_source(error))?;
///         let mut headers = SignatureHeaders::new();
///         headers.insert(HeaderName::from_static("x-path"), value);
///         Ok(headers)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no signatures",
    label = "a layer cannot sign with this",
    note = "`TimestampHmac::sha256(credentials)` signs as PayNet wants it",
    note = "for any other signature, write `impl Signer for` a type of yours: a closure is none"
)]
pub trait Signer: Send + Sync + 'static {
    /// The signature's headers for one request.
    ///
    /// # Errors
    ///
    /// Any error fails the request before it is sent: nothing goes out unsigned.
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError>;
}

/// What a signer may look at: the request as it will be sent, but for the signature.
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
    /// A context as a layer makes it, so that a signer of one's own can be tested.
    pub fn new(
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        token: &'a AccessToken,
        now: SystemTime,
    ) -> Self {
        Self { method, uri, headers, token, now }
    }

    /// The request's method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The request's URI.
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The request's headers, `Authorization` included.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The token that the request carries.
    pub fn token(&self) -> &'a AccessToken {
        self.token
    }

    /// The time, by the server's clock as far as it was learnt.
    pub fn now(&self) -> SystemTime {
        self.now
    }
}

/// The headers of one signature; shared rather than copied when cloned.
#[derive(Clone, Default)]
pub struct SignatureHeaders {
    headers: Arc<Vec<(HeaderName, HeaderValue)>>,
}

impl SignatureHeaders {
    /// No header yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header, marked sensitive. It will replace a header of that name in the request.
    pub fn insert(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        Arc::make_mut(&mut self.headers).push((name, value));
    }

    /// The value of a header, for the tests of a signer of one's own. The last one counts, as in the request.
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

/// HMAC-SHA256 over a timestamp, as PayNet wants it.
///
/// `X-Timestamp` holds the unix seconds, `X-Signature` the lower-case hex of HMAC-SHA256 with the client secret's bytes as
/// the key and the text of `X-Timestamp` as the message.
///
/// It covers nothing but the time: whoever has seen a pair can use it for any request until the server's window closes.
/// So it is kept as secret as the token, and protects no request from being changed.
///
/// The headers of one second are computed once and shared; after a rotation of the secret they are computed anew.
pub struct TimestampHmac {
    credentials: Credentials,
    timestamp: HeaderName,
    signature: HeaderName,
    latest: Lanes<ArcSwapOption<Second>>,
}

/// The headers of one second, made with one secret.
struct Second {
    unix: u64,
    rotation: u64,
    headers: SignatureHeaders,
}

impl TimestampHmac {
    /// Signs with the secret that obtained the request's token, if that is one of these credentials; else with their current
    /// secret.
    pub fn sha256(credentials: Credentials) -> Self {
        Self {
            credentials,
            timestamp: HeaderName::from_static("x-timestamp"),
            signature: HeaderName::from_static("x-signature"),
            latest: Lanes::new(ArcSwapOption::empty),
        }
    }

    /// Other names for the two headers.
    pub fn headers(mut self, timestamp: HeaderName, signature: HeaderName) -> Self {
        self.timestamp = timestamp;
        self.signature = signature;
        self
    }

    fn compute(&self, unix: u64, secret: &Secret) -> Result<Second, AuthError> {
        if let Some(problem) = secret.problem() {
            let message = format!("the client secret cannot be used as a signing key: it {problem}");
            return Err(AuthError::new(crate::ErrorKind::Signing, message));
        }
        let timestamp = HeaderValue::from(unix);
        let signature = hmac_sha256(secret.expose_secret(), timestamp.as_bytes())?;
        let signature = HeaderValue::try_from(signature).map_err(|error| {
            AuthError::new(crate::ErrorKind::Signing, "the signature is no header value").with_source(error)
        })?;
        let mut headers = SignatureHeaders::new();
        headers.insert(self.timestamp.clone(), timestamp);
        headers.insert(self.signature.clone(), signature);
        Ok(Second { unix, rotation: secret.rotation(), headers })
    }
}

impl Signer for TimestampHmac {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        let unix = context.now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let current;
        let secret = if let Some(obtained_with) = context.token().secret_of(&self.credentials) {
            obtained_with
        } else {
            current = self.credentials.secret();
            &current
        };
        let shared = self.latest.mine();
        if let Some(latest) = &*shared.load()
            && latest.unix == unix
            && latest.rotation == secret.rotation()
        {
            return Ok(latest.headers.clone());
        }
        let second = self.compute(unix, secret)?;
        let headers = second.headers.clone();
        shared.store(Some(Arc::new(second)));
        Ok(headers)
    }
}

impl fmt::Debug for TimestampHmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimestampHmac")
            .field("credentials", &self.credentials)
            .field("timestamp", &self.timestamp)
            .field("signature", &self.signature)
            .finish_non_exhaustive()
    }
}

/// Lower-case hex of HMAC-SHA256.
pub(crate) fn hmac_sha256(secret: &str, message: &[u8]) -> Result<String, AuthError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|_| AuthError::new(crate::ErrorKind::Signing, "the client secret cannot be a key"))?;
    mac.update(message);
    Ok(hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_headers_with_one_name_the_last_counts_for_a_test_as_in_the_request() {
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

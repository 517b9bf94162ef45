//! HMAC-SHA256 over a timestamp, PayNet's signature.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::signer::{SignatureHeaders, Signer, SigningContext};
use crate::{
    credentials::{Credentials, Secret},
    error::{AuthError, ErrorKind},
    wiped_stack::with_wiped_stack,
};

/// [`Signer`] that sends a timestamp and its HMAC-SHA256, as PayNet requires.
///
/// `X-Timestamp` is the unix time in seconds, in decimal. `X-Signature` is HMAC-SHA256 over the text of `X-Timestamp`, in
/// lower-case hex. The key is the client secret, as UTF-8 bytes.
///
/// The signature covers the time and nothing else: anyone who has seen the two headers can use them for any request until
/// the server's time window closes. It does not protect a request from being changed. Keep it as secret as the token.
///
/// # Example
///
/// ```
/// use http::HeaderName;
/// use tower_outbound_auth::{Credentials, signing::TimestampHmac};
///
/// let credentials = Credentials::new("my-client", "my-secret");
/// let signer = TimestampHmac::sha256(credentials)
///     .headers(HeaderName::from_static("x-date"), HeaderName::from_static("x-mac"));
/// # let _ = signer;
/// ```
///
/// # When the secret is rotated
///
/// A request is signed with the secret that obtained its token, so that the server can check both against the same secret.
/// After [`Credentials::rotate`] that is the old secret until the first token has been obtained with the new one. This needs
/// a token source that uses a clone of the same [`Credentials`]; with any other token, the current secret is used.
///
/// # Errors
///
/// A secret that is empty or contains a control character, such as the line end of a secret file, signs nothing: building the
/// layer fails with [`ErrorKind::Config`], and after a rotation to such a secret each signature with it fails with
/// [`ErrorKind::Signing`]. So does building a layer if both headers have the same name.
pub struct TimestampHmac {
    credentials: Credentials,
    timestamp: HeaderName,
    signature: HeaderName,
    /// The last headers, for all requests of the same second.
    cache: ArcSwapOption<Signed>,
}

/// The headers for one second and one secret.
struct Signed {
    unix_seconds: u64,
    rotation: u64,
    headers: SignatureHeaders,
}

impl TimestampHmac {
    /// Creates a signer that uses the secret of these credentials.
    pub fn sha256(credentials: Credentials) -> Self {
        Self {
            credentials,
            timestamp: HeaderName::from_static("x-timestamp"),
            signature: HeaderName::from_static("x-signature"),
            cache: ArcSwapOption::empty(),
        }
    }

    /// Changes the names of the two headers.
    ///
    /// Default: `X-Timestamp` and `X-Signature`.
    pub fn headers(mut self, timestamp: HeaderName, signature: HeaderName) -> Self {
        self.timestamp = timestamp;
        self.signature = signature;
        self
    }

    fn sign_at(&self, unix_seconds: u64, secret: &Secret) -> Result<SignatureHeaders, AuthError> {
        if let Some(problem) = secret.problem() {
            return Err(failed(format!("{UNFIT}: it {problem}")));
        }
        let timestamp = HeaderValue::from(unix_seconds);
        let signature = hmac_sha256(secret.expose_secret(), timestamp.as_bytes())?;
        let signature = HeaderValue::from_maybe_shared(Bytes::from_owner(signature))
            .map_err(|error| failed("the signature is not a header value").with_source(error))?;
        let mut headers = SignatureHeaders::new();
        headers.insert(self.timestamp.clone(), timestamp);
        headers.insert(self.signature.clone(), signature);
        Ok(headers)
    }
}

impl Signer for TimestampHmac {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        self.credentials.look_if_due();
        let unix_seconds = context.now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let obtained_with = context.token().rotation_of(&self.credentials);
        let rotation = obtained_with.unwrap_or_else(|| self.credentials.rotations());
        if let Some(signed) = &*self.cache.load()
            && (signed.unix_seconds, signed.rotation) == (unix_seconds, rotation)
        {
            return Ok(signed.headers.clone());
        }
        let secret = self.credentials.secret_of(rotation);
        let headers = self.sign_at(unix_seconds, &secret)?;
        let signed = Signed { unix_seconds, rotation: secret.rotation(), headers: headers.clone() };
        self.cache.store(Some(Arc::new(signed)));
        Ok(headers)
    }

    fn check(&self) -> Result<(), AuthError> {
        if self.timestamp == self.signature {
            let name = &self.timestamp;
            return Err(AuthError::config(format!("TimestampHmac::headers: {name} is there twice; use two names")));
        }
        match self.credentials.secret().problem() {
            Some(problem) => Err(AuthError::config(format!("{UNFIT}: it {problem}"))),
            None => Ok(()),
        }
    }
}

impl Clone for TimestampHmac {
    fn clone(&self) -> Self {
        Self::sha256(self.credentials.clone()).headers(self.timestamp.clone(), self.signature.clone())
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

/// HMAC-SHA256 in lower-case hex, in memory that is wiped. Nothing else of the computation is left in memory either.
pub(crate) fn hmac_sha256(secret: &str, message: &[u8]) -> Result<Zeroizing<String>, AuthError> {
    with_wiped_stack(|| compute(secret, message))
}

fn compute(secret: &str, message: &[u8]) -> Result<Zeroizing<String>, AuthError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| failed(UNFIT))?;
    mac.update(message);
    let mut hex = Zeroizing::new([0; 64]);
    let signature =
        hex::encode_to_slice(mac.finalize().into_bytes(), &mut *hex).ok().and_then(|()| str::from_utf8(&*hex).ok());
    signature.map(|signature| Zeroizing::new(signature.to_owned())).ok_or_else(|| failed(UNFIT))
}

const UNFIT: &str = "the client secret cannot be used as a signing key";

fn failed(message: impl Into<std::borrow::Cow<'static, str>>) -> AuthError {
    AuthError::new(ErrorKind::Signing, message)
}

//! Assertions that a platform keeps in a file: Kubernetes, SPIFFE, clouds.

use std::{
    path::Path,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{
    assertion::{Assertion, AssertionRequest, AssertionSource},
    members::{Members, scalar},
};
use crate::{
    error::{AuthError, ErrorKind},
    secret_file::{self, SecretText},
};

/// [`AssertionSource`] that reads a file at every token request.
///
/// For workloads whose platform writes a token into a file and replaces it before it expires: a projected service account
/// token of Kubernetes, a JWT-SVID of SPIFFE, the token file of a cloud. The file is opened by its path each time, so it may
/// be replaced, also by a symbolic link that changes. White space around the assertion is dropped. At most 64 KiB are read,
/// on a thread for blocking work.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::{
///     AuthError, Credentials,
///     oauth::{AssertionFile, ClientCredentialsGrant},
/// };
///
/// # #[cfg(feature = "client")]
/// fn grant() -> Result<ClientCredentialsGrant, AuthError> {
///     let credentials = Credentials::without_secret("11111111-2222-3333-4444-555555555555");
///     ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
///         .client_assertion(AssertionFile::new("/var/run/secrets/tokens/login"))
///         .build()
/// }
/// ```
///
/// # Errors
///
/// A token fetch fails with [`Unavailable`](crate::ErrorKind::Unavailable), which is tried again, if the file is missing or
/// empty, or if its JWT has expired by its own `exp`: files arrive late. It fails with
/// [`Config`](crate::ErrorKind::Config) if the file is longer than 64 KiB, has more than one line, or may not be read. The
/// message names the file and its age.
#[derive(Clone, Debug)]
pub struct AssertionFile {
    path: Arc<Path>,
    assertion_type: Option<String>,
}

impl AssertionFile {
    /// Creates a source that reads this file. Nothing is read yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: Arc::from(path.as_ref()), assertion_type: None }
    }

    /// Sets the type that is sent with the assertion.
    ///
    /// Default: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`. Servers that know SPIFFE may want
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`.
    pub fn with_type(self, urn: impl Into<String>) -> Self {
        Self { assertion_type: Some(urn.into()), ..self }
    }

    fn check(&self, file: &SecretText, now: SystemTime) -> Result<Assertion, AuthError> {
        let (shown, age) = (self.path.display(), file.age());
        let late =
            |why: &str| AuthError::new(ErrorKind::Unavailable, format!("the assertion file {shown}{age}, {why}"));
        let text = file.text.trim();
        if text.is_empty() {
            return Err(late("is empty"));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(AuthError::config(format!(
                "the assertion file {shown}{age}, holds more than one word or line; it must hold the assertion alone"
            )));
        }
        if expiry(text).is_some_and(|end| end <= now) {
            return Err(late("has expired by its own `exp`; is it still being renewed?"));
        }
        let assertion = Assertion::jwt(SecretString::from(text));
        Ok(match &self.assertion_type {
            Some(urn) => assertion.with_type(urn),
            None => assertion,
        })
    }
}

impl AssertionSource for AssertionFile {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        Box::pin(async move {
            let file = secret_file::read_off_thread("the assertion file", &self.path).await?;
            self.check(&file, request.now())
        })
    }
}

/// The `exp` of a JWT; `None` for another text, and for one without it.
fn expiry(text: &str) -> Option<SystemTime> {
    let claims = json_of(text.split('.').nth(1)?)?;
    let seconds: f64 = scalar(Members::parse(&claims)?.json("exp")?)?.parse().ok()?;
    let since = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
    UNIX_EPOCH.checked_add(since)
}

/// A part of a JWT, in memory that is wiped.
pub(super) fn json_of(part: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut json = Zeroizing::new(Vec::with_capacity(part.len()));
    URL_SAFE_NO_PAD.decode_vec(part.trim_end_matches('='), &mut json).ok()?;
    Some(json)
}

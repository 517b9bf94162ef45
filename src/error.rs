//! The error type of this crate.

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

/// Type-erased error, as Tower's middleware returns it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Error returned when a request could not be authenticated, or a setting is wrong.
///
/// Cheap to clone: all requests that waited for the same token fetch get the same error. It reaches a caller as a
/// [`BoxError`], alone or inside the error of another layer; [`AuthError::find`] finds it there.
///
/// `Display` is one line that names the setting or the server and says what to do. It contains no secret, and of what a
/// server sent only an error code (RFC 6749, section 5.2), the origin of a redirect, a content coding or a token type. The
/// cause, if there is one, is behind [`source`](Error::source).
///
/// The error does not tell which of several requests started the fetch that failed.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::{AuthError, BoxError, ErrorKind};
///
/// fn is_worth_a_retry(error: &BoxError) -> bool {
///     AuthError::find(error.as_ref()).is_none_or(AuthError::is_transient)
/// }
///
/// let refused: BoxError = AuthError::new(ErrorKind::Denied, "the client is locked").into();
/// assert!(!is_worth_a_retry(&refused));
/// ```
#[derive(Clone)]
pub struct AuthError {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
    retry_after: Option<Duration>,
    oauth_error: Option<Box<str>>,
    oauth_error_description: Option<Box<str>>,
    help: Option<&'static str>,
}

/// Kind of an [`AuthError`].
///
/// `Display` is the word that metrics and traces use, such as `unavailable`.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::{AuthError, ErrorKind};
///
/// /// The status with which a gateway answers its own caller.
/// fn status(error: &AuthError) -> u16 {
///     match error.kind() {
///         ErrorKind::Timeout => 504,
///         ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Malformed => 502,
///         _ => 500,
///     }
/// }
///
/// let error = AuthError::new(ErrorKind::Timeout, "no token within two seconds");
/// assert_eq!(status(&error), 504);
/// assert_eq!(error.kind().to_string(), "timeout");
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A setting is wrong, or the layer was used wrongly: the message says what to change. Permanent.
    Config,
    /// The authorization server refused the client: with an error code of RFC 6749, section 5.2, or with a 401 and no code.
    /// Permanent.
    Denied,
    /// The authorization server's response is not a token response. Permanent.
    Malformed,
    /// The signer failed. Permanent.
    Signing,
    /// A time limit passed: of the token request, of the whole token fetch, or the request's `max_wait`. Transient.
    Timeout,
    /// The authorization server could not be reached, or did not handle the request: a 5xx, or a 4xx that is not about
    /// the client. Transient.
    Unavailable,
    /// The task that fetched the token panicked, or its runtime ended. Transient.
    Aborted,
}

impl ErrorKind {
    /// The word for it, in metrics and traces too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Denied => "denied",
            Self::Malformed => "malformed",
            Self::Signing => "signing",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl AuthError {
    /// Creates an error, for your own token source or signer.
    ///
    /// The message is shown to people and written to logs: use one lower-case line without a secret.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                message: message.into(),
                source: None,
                retry_after: None,
                oauth_error: None,
                oauth_error_description: None,
                help: None,
            }),
        }
    }

    /// Adds the cause that [`source`](Error::source) returns.
    ///
    /// # Example
    ///
    /// ```
    /// use std::fs;
    /// use tower_outbound_auth::{AuthError, ErrorKind};
    ///
    /// fn token_file(path: &str) -> Result<String, AuthError> {
    ///     let unreadable = |error| AuthError::new(ErrorKind::Unavailable, "the token file is unreadable").with_source(error);
    ///     fs::read_to_string(path).map_err(unreadable)
    /// }
    ///
    /// assert!(token_file("/no/such/file").is_err_and(|error| error.is_transient()));
    /// ```
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        self.change(|inner| inner.source = Some(Arc::from(source.into())))
    }

    /// Returns the kind of this error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns whether the same request may succeed later, with nothing changed.
    ///
    /// True for [`Unavailable`](ErrorKind::Unavailable), [`Timeout`](ErrorKind::Timeout) and
    /// [`Aborted`](ErrorKind::Aborted).
    pub fn is_transient(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Aborted)
    }

    /// Returns how long to wait before another try.
    ///
    /// This is the server's `Retry-After`, or the rest of the layer's backoff; `None` if neither is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns the authorization server's `error` code, such as `invalid_client`.
    ///
    /// See RFC 6749, section 5.2. `None` if the error has another cause.
    pub fn oauth_error(&self) -> Option<&str> {
        self.inner.oauth_error.as_deref()
    }

    /// Returns the authorization server's `error_description`, a text for developers.
    ///
    /// See RFC 6749, section 5.2. `None` unless it consists of the RFC's characters, is at most 512 long, and repeats
    /// no credential. `Display` does not show it, since what a server writes does not belong in front of your users;
    /// `Debug` does.
    pub fn oauth_error_description(&self) -> Option<&str> {
        self.inner.oauth_error_description.as_deref()
    }

    /// Finds an `AuthError` in an error or anywhere in its source chain.
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a AuthError> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    pub(crate) fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    pub(crate) fn with_retry_after(self, wait: Option<Duration>) -> Self {
        self.change(|inner| inner.retry_after = wait)
    }

    pub(crate) fn with_oauth_error(self, code: &str) -> Self {
        self.change(|inner| inner.oauth_error = Some(code.into()))
    }

    pub(crate) fn with_oauth_error_description(self, description: &str) -> Self {
        self.change(|inner| inner.oauth_error_description = Some(description.into()))
    }

    /// Adds what to try, as the end of the line.
    pub(crate) fn with_help(self, help: &'static str) -> Self {
        self.change(|inner| inner.help = Some(help))
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        if let Some(code) = &self.inner.oauth_error {
            write!(f, ": {code}")?;
        }
        match self.inner.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, message, source, retry_after, oauth_error, oauth_error_description, help } = &*self.inner;
        f.debug_struct("AuthError")
            .field("kind", kind)
            .field("message", message)
            .field("oauth_error", oauth_error)
            .field("oauth_error_description", oauth_error_description)
            .field("help", help)
            .field("retry_after", retry_after)
            .field("source", source)
            .finish()
    }
}

impl Error for AuthError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.inner.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

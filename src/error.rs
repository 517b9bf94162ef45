//! The one error of this crate: what failed, whether another try is worth it, and when.

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

/// The error of a request, as Tower's middleware passes it: any error at all.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request could not be given its credentials.
///
/// One word wide and cheap to clone: every request that waited for the same token gets the same error. It reaches a
/// caller as a [`BoxError`], alone or inside the error of another layer; [`AuthError::find`] digs it out.
///
/// `Display` is one line without a secret, a token, or anything that a server sent except an OAuth 2.0 error code
/// (RFC 6749, section 5.2). The cause, where there is one, is behind [`source`](Error::source).
///
/// What it cannot tell: which of several requests was the first to meet the trouble.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::{AuthError, BoxError, ErrorKind};
///
/// fn worth_a_retry(error: &BoxError) -> bool {
///     AuthError::find(error.as_ref()).is_none_or(AuthError::is_transient)
/// }
///
/// let refused: BoxError = AuthError::new(ErrorKind::Denied, "the client is locked").into();
/// assert!(!worth_a_retry(&refused));
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
    description: Option<Box<str>>,
    help: Option<&'static str>,
}

/// What sort of trouble an [`AuthError`] tells of.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The layer or the token source was built wrong, or a request cannot hold one more header; the message says what to
    /// change.
    Config,
    /// The authorization server refused: an error of RFC 6749, section 5.2, or any other 4xx.
    Denied,
    /// The authorization server gave an answer that is no token.
    Malformed,
    /// The signer failed.
    Signing,
    /// A deadline passed: of the token request, of the whole flight, or the request's own `max_wait`.
    Timeout,
    /// The authorization server could not be reached, or answered 5xx, 408, 425 or 429.
    Unavailable,
    /// The task that fetched the token panicked, or its runtime ended.
    Aborted,
}

impl AuthError {
    /// An error for a token source or a signer of one's own.
    ///
    /// The message is shown to people and written to logs: one lower-case line, and no secret in it.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                message: message.into(),
                source: None,
                retry_after: None,
                oauth_error: None,
                description: None,
                help: None,
            }),
        }
    }

    /// Adds the cause, which [`source`](Error::source) then gives.
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        self.change(|inner| inner.source = Some(Arc::from(source.into())))
    }

    /// What sort of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether another try, later, may end better with nothing changed.
    ///
    /// True for [`Unavailable`](ErrorKind::Unavailable), [`Timeout`](ErrorKind::Timeout) and
    /// [`Aborted`](ErrorKind::Aborted).
    pub fn is_transient(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Aborted)
    }

    /// How long to wait before another try: what the server asked for, or how long the layer's cool-down still runs.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// The `error` code of the authorization server (RFC 6749, section 5.2), such as `invalid_client`.
    pub fn oauth_error(&self) -> Option<&str> {
        self.inner.oauth_error.as_deref()
    }

    /// The `error_description` of the authorization server, if it consists of the characters that RFC 6749, section 5.2,
    /// allows, of at most 512 of them, and repeats no credential.
    pub fn oauth_error_description(&self) -> Option<&str> {
        self.inner.description.as_deref()
    }

    /// Finds the `AuthError` in an error or in the causes behind it.
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

    pub(crate) fn without_oauth_error(self) -> Self {
        self.change(|inner| inner.oauth_error = None)
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
        let Inner { kind, message, source, retry_after, oauth_error, description, help } = &*self.inner;
        f.debug_struct("AuthError")
            .field("kind", kind)
            .field("message", message)
            .field("oauth_error", oauth_error)
            .field("description", description)
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

//! Where tokens come from.

use std::{
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::SystemTime,
};

use crate::{
    error::{AuthError, ErrorKind},
    time::Moment,
    token::AccessToken,
};

type Fetching<'a> = Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>>;

/// Source of access tokens for a layer.
///
/// [`ClientCredentialsGrant`](crate::oauth::ClientCredentialsGrant) is the source for OAuth 2.0. Implement this trait for
/// any other: a metadata server, a file, a cache around another source; or use [`source_fn`] for a closure. A source need
/// not cache, throttle or synchronize; the layer does, and has one fetch under way at a time.
///
/// Also implemented for `Arc<T>` and `Box<T>`.
///
/// # Example
///
/// The futures are boxed, so that `dyn TokenSource` works; `#[async_trait]` cannot implement the trait. Use this form:
///
/// ```
/// use std::{future::Future, pin::Pin, time::Duration};
/// use tower_outbound_auth::{
///     AuthError,
///     token::{AccessToken, FetchRequest, TokenSource},
/// };
///
/// struct MetadataServer {
///     url: String,
/// }
///
/// impl TokenSource for MetadataServer {
///     fn fetch(
///         &self,
///         _request: FetchRequest,
///     ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
///         Box::pin(async move {
///             let secret = request_token(&self.url).await?;
///             AccessToken::new(secret, Some(Duration::from_secs(600)))
///         })
///     }
/// }
/// # async fn request_token(_url: &str) -> Result<String, AuthError> { Ok("made-by-hand".to_owned()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of tokens",
    label = "a layer cannot get its tokens from this",
    note = "for OAuth 2.0, use `ClientCredentialsGrant::builder(token_url, credentials).build()?`; `build` is easily forgotten",
    note = "for a closure, use `source_fn(move |request| async move {{ .. }})`",
    note = "for anything else, write `impl TokenSource for` your own type"
)]
pub trait TokenSource: Send + Sync + 'static {
    /// Fetches a new token.
    ///
    /// # Errors
    ///
    /// A [transient](AuthError::is_transient) error is tried again within the same fetch, after its
    /// [`retry_after`](AuthError::retry_after) if it has one. Any other error ends the fetch, and every request that waits
    /// for it gets that error.
    ///
    /// # Cancellation
    ///
    /// The future is dropped when the [deadline](crate::token::RefreshPolicy::deadline) of the fetch passes, or when its
    /// runtime ends; never because a caller gave up.
    fn fetch(&self, request: FetchRequest) -> Fetching<'_>;

    /// Returns a number that grows when the tokens so far should be replaced.
    ///
    /// A rotation of the secret is one reason. The number is read on every request, so this must be cheap. A source
    /// that wraps another forwards it. Default: 0.
    fn generation(&self) -> u64 {
        0
    }

    /// Returns a digest of all that distinguishes its tokens, except the secret.
    ///
    /// Caches that several sources share use it. A source that wraps another forwards it. Default: `None`.
    fn identity(&self) -> Option<[u8; 32]> {
        None
    }
}

impl<T: TokenSource + ?Sized> TokenSource for Arc<T> {
    fn fetch(&self, request: FetchRequest) -> Fetching<'_> {
        (**self).fetch(request)
    }

    fn generation(&self) -> u64 {
        (**self).generation()
    }

    fn identity(&self) -> Option<[u8; 32]> {
        (**self).identity()
    }
}

impl<T: TokenSource + ?Sized> TokenSource for Box<T> {
    fn fetch(&self, request: FetchRequest) -> Fetching<'_> {
        (**self).fetch(request)
    }

    fn generation(&self) -> u64 {
        (**self).generation()
    }

    fn identity(&self) -> Option<[u8; 32]> {
        (**self).identity()
    }
}

/// Creates a [`TokenSource`] from a closure.
///
/// # Example
///
/// What the closure holds is cloned for each fetch, as its future may not borrow from it:
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tower_outbound_auth::{
///     AuthError, AuthLayer,
///     token::{AccessToken, source_fn},
/// };
///
/// let path = Arc::<str>::from("/var/run/token");
/// let source = source_fn(move |_request| {
///     let path = Arc::clone(&path);
///     async move { AccessToken::new(read(&path).await, Some(Duration::from_secs(300))) }
/// });
/// let layer = AuthLayer::builder(source).origin("https://api.example.com").build()?;
/// # let _ = layer;
/// # async fn read(_path: &str) -> String { "made-by-hand".to_owned() }
/// # Ok::<(), AuthError>(())
/// ```
pub fn source_fn<F, Fut>(f: F) -> SourceFn<F>
where
    F: Fn(FetchRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<AccessToken, AuthError>> + Send + 'static,
{
    SourceFn { f }
}

/// [`TokenSource`] made from a closure by [`source_fn`].
#[derive(Clone, Copy)]
pub struct SourceFn<F> {
    f: F,
}

impl<F, Fut> TokenSource for SourceFn<F>
where
    F: Fn(FetchRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<AccessToken, AuthError>> + Send + 'static,
{
    fn fetch(&self, request: FetchRequest) -> Fetching<'_> {
        Box::pin((self.f)(request))
    }
}

impl<F> fmt::Debug for SourceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFn").finish_non_exhaustive()
    }
}

/// Request of a layer to its [`TokenSource`].
///
/// # Example
///
/// A test of a source that keeps its token until it is rejected:
///
/// ```
/// use tower_outbound_auth::{
///     AuthError,
///     token::{FetchRequest, TokenSource},
/// };
///
/// async fn a_rejected_token_is_replaced(source: impl TokenSource) -> Result<(), AuthError> {
///     let first = source.fetch(FetchRequest::new()).await?;
///     let second = source.fetch(FetchRequest::new().with_rejected(first.clone())).await?;
///     assert_ne!(first.expose_secret(), second.expose_secret());
///     Ok(())
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct FetchRequest {
    rejected: Option<AccessToken>,
    now: SystemTime,
}

impl FetchRequest {
    /// Creates the request of a layer that has no token, or an old one.
    #[expect(clippy::new_without_default, reason = "a default request for a token would mean nothing to a reader")]
    pub fn new() -> Self {
        Self::at(Moment::now().wall, None)
    }

    /// Adds the token that must not be returned again.
    pub fn with_rejected(self, token: AccessToken) -> Self {
        Self { rejected: Some(token), ..self }
    }

    pub(crate) fn at(now: SystemTime, rejected: Option<AccessToken>) -> Self {
        Self { rejected, now }
    }

    /// Returns the token that must not be returned again.
    ///
    /// The API rejected it, or [`refresh`](crate::token::TokenHandle::refresh) was called. A cache must forget it.
    pub fn rejected(&self) -> Option<&AccessToken> {
        self.rejected.as_ref()
    }

    /// Returns the current time, by the server's clock as far as it is known.
    ///
    /// Use it for assertions and other signatures that contain the time.
    pub fn now(&self) -> SystemTime {
        self.now
    }
}

/// What the fetch brings. A panic of the source is a failed fetch, and goes no further: what is told of it is told by a
/// thread that does not panic.
pub(super) async fn caught(
    fetch: impl Future<Output = Result<AccessToken, AuthError>>,
) -> Result<AccessToken, AuthError> {
    let mut fetch = pin!(fetch);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| fetch.as_mut().poll(cx))).unwrap_or_else(|_| {
            let why = "the token source panicked; the panic message tells where";
            Poll::Ready(Err(AuthError::new(ErrorKind::Aborted, why)))
        })
    })
    .await
}

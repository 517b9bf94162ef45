//! The token of a layer, for use beside its requests.

use std::sync::Arc;

use crate::{
    error::AuthError,
    time::Moment,
    token::{AccessToken, AcquireToken, Fetcher, KeepWarm, TokenStatus},
};

/// Handle to the token of an [`AuthLayer`](crate::AuthLayer).
///
/// It inspects, awaits, refreshes or invalidates the token. Use it for protocols that carry the token elsewhere (a
/// WebSocket, a database), for health checks, and to fetch the first token before the first request. It is cheap to
/// clone.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::{
///     AuthError, AuthLayer,
///     token::{AccessToken, TokenState, source_fn},
/// };
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), AuthError> {
/// let source = source_fn(|_| async { AccessToken::new("made-by-hand", Some(Duration::from_secs(600))) });
/// let layer = AuthLayer::builder(source).origin("https://api.example.com").build()?;
/// let handle = layer.handle();
/// assert_eq!(handle.status().state, TokenState::Missing);
///
/// let token = handle.token().await?;
/// assert_eq!(token.expose_secret(), "made-by-hand");
/// assert_eq!(handle.status().state, TokenState::Fresh);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TokenHandle {
    fetcher: Arc<Fetcher>,
}

impl TokenHandle {
    pub(crate) fn new(fetcher: &Arc<Fetcher>) -> Self {
        Self { fetcher: Arc::clone(fetcher) }
    }

    /// Returns a usable token, and waits for one if necessary.
    ///
    /// Without a usable token it joins the fetch under way, or starts one.
    ///
    /// # Errors
    ///
    /// The error of the fetch, which all that waited for it get. During the backoff after a failed fetch that error is
    /// returned at once, and [`retry_after`](AuthError::retry_after) says how long the backoff still lasts.
    /// [`Config`](crate::ErrorKind::Config) in a tokio runtime without timers (`enable_time`).
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the wait; the fetch goes on and its token is kept.
    pub async fn token(&self) -> Result<AccessToken, AuthError> {
        Ok(AcquireToken::any(&self.fetcher).await?.token.clone())
    }

    /// Fetches a new token even if the current one is good; joins a fetch under way.
    ///
    /// Ignores a backoff. The current token stays in use until the new one is there.
    ///
    /// # Errors
    ///
    /// The error of the fetch. The current token then stays in use while it lives. [`Config`](crate::ErrorKind::Config) in a
    /// tokio runtime without timers (`enable_time`).
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the wait; the fetch goes on and its token is kept.
    pub async fn refresh(&self) -> Result<AccessToken, AuthError> {
        Ok(AcquireToken::forced(&self.fetcher).await?.token.clone())
    }

    /// Takes this token out of use for good, but only if it is still the current one.
    ///
    /// Call it when the server of another protocol than HTTP has rejected the token. It fetches nothing; the next
    /// request does. [`renewal_budget`](crate::token::RefreshPolicy::renewal_budget) does not limit it.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::{AuthError, token::TokenHandle};
    ///
    /// async fn connect(handle: &TokenHandle) -> Result<(), AuthError> {
    ///     let token = handle.token().await?;
    ///     if !log_on(token.expose_secret()).await {
    ///         handle.invalidate(&token);
    ///     }
    ///     Ok(())
    /// }
    /// # async fn log_on(_token: &str) -> bool { true }
    /// ```
    pub fn invalidate(&self, token: &AccessToken) {
        self.fetcher.invalidate(token);
    }

    /// Returns what is known about the token now. Changes nothing.
    pub fn status(&self) -> TokenStatus {
        TokenStatus::read(&self.fetcher.cache, Moment::now())
    }

    /// Keeps the token fresh without traffic until the guard is dropped.
    ///
    /// The first token is fetched now.
    ///
    /// Needs a tokio runtime with timers, and ends with it. Without one it does nothing but write a warning to the trace. A
    /// rotated secret is noticed within 30 s.
    pub fn keep_warm(&self) -> KeepWarm {
        KeepWarm::start(&self.fetcher)
    }
}

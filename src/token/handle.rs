//! The token of a layer, for use beside it: look, wait, force, reject.

use std::sync::Arc;

use crate::{
    error::AuthError,
    token::{AccessToken, Acquisition, KeepWarm, Refresher, TokenStatus},
};

/// The token of an [`AuthLayer`](crate::AuthLayer) and of everything that was made from it.
///
/// A cheap clone of what the layer holds: for protocols that carry the token elsewhere (a WebSocket, a database), for
/// health checks, and to fetch the first token ahead of the first request.
///
/// # Example
///
/// ```
/// # use std::time::Duration;
/// # use tower_outbound_auth::{AccessToken, AuthError, AuthLayer, FetchRequest, TokenSource, TokenState};
/// # struct Source;
/// # impl TokenSource for Source {
/// #     fn fetch<'a>(&'a self, _: FetchRequest<'a>)
/// #         -> std::pin::Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
/// #         Box::pin(async { AccessToken::new("made-by-hand", Some(Duration::from_secs(600))) })
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), AuthError> {
/// let layer = AuthLayer::builder(Source).origin("https://api.example.com").build()?;
/// let handle = layer.handle();
/// assert_eq!(handle.status().state, TokenState::Missing);
///
/// let token = handle.token().await?;
/// assert!(token.expires_in() <= Some(Duration::from_secs(600)));
/// assert_eq!(handle.status().state, TokenState::Fresh);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TokenHandle {
    refresher: Arc<Refresher>,
}

impl TokenHandle {
    pub(crate) fn new(refresher: &Arc<Refresher>) -> Self {
        Self { refresher: Arc::clone(refresher) }
    }

    /// The usable token; joins the flight that is under way, or starts one, if there is none.
    ///
    /// # Errors
    ///
    /// The error of the flight, the same for all who waited. During the cool-down after a failure that error at once,
    /// with [`retry_after`](AuthError::retry_after) telling how long it still runs.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the waiting; the flight goes on and its token is kept.
    pub async fn token(&self) -> Result<AccessToken, AuthError> {
        Ok(Acquisition::of_any(&self.refresher, None).await?.token.clone())
    }

    /// A new token, though the current one may be good; joins a flight that is under way.
    ///
    /// Ignores a cool-down. The current token stays in use until the new one is there.
    ///
    /// # Errors
    ///
    /// The error of the flight. The current token then stays in use while it lives.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the waiting; the flight goes on and its token is kept.
    pub async fn refresh(&self) -> Result<AccessToken, AuthError> {
        Ok(Acquisition::forced(&self.refresher).await?.token.clone())
    }

    /// Says that the API refused this token: it is retired, but only if it is still the current one.
    ///
    /// Starts nothing: the next caller starts the flight.
    pub fn reject(&self, token: &AccessToken) {
        self.refresher.reject(token);
    }

    /// What is known about the token now. Reads only.
    pub fn status(&self) -> TokenStatus {
        TokenStatus::read(&self.refresher.store, self.refresher.now())
    }

    /// Fetches the first token now, and keeps refreshing without any traffic, until the guard is dropped.
    ///
    /// Needs a tokio runtime, and ends with it; outside of one it keeps nothing warm, and says so in the trace.
    pub fn keep_warm(&self) -> KeepWarm {
        KeepWarm::start(&self.refresher)
    }
}

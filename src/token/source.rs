//! Where tokens come from.

use std::pin::Pin;

use crate::{error::AuthError, token::AccessToken};

/// Where a layer gets its tokens.
///
/// [`ClientCredentialsGrant`](crate::oauth::ClientCredentialsGrant) is the one for OAuth 2.0; implement it for any other: a metadata
/// server, a file, a cache around another source. A source keeps no token, spaces nothing and locks nothing: the layer
/// calls it once at a time, and shares, times and retries what it gives.
///
/// # Example
///
/// ```
/// use std::{future::Future, pin::Pin, time::Duration};
/// use tower_outbound_auth::{AccessToken, AuthError, FetchRequest, TokenSource};
///
/// struct Fixed;
///
/// impl TokenSource for Fixed {
///     fn fetch<'a>(
///         &'a self,
///         _request: FetchRequest<'a>,
///     ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
///         Box::pin(async { AccessToken::new("made-by-hand", Some(Duration::from_secs(600))) })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no source of tokens",
    label = "a layer cannot get its tokens from this",
    note = "for OAuth 2.0 it is made by `ClientCredentialsGrant::builder(token_url, credentials).build()?`; `build` is easily forgotten",
    note = "for any other, write `impl TokenSource for` a type of yours: a closure is none, since it cannot borrow its request"
)]
pub trait TokenSource: Send + Sync + 'static {
    /// Gets a token, new from wherever tokens come from.
    ///
    /// # Errors
    ///
    /// A [transient](AuthError::is_transient) error is tried again within the same flight, after its
    /// [`retry_after`](AuthError::retry_after) if it has one; any other ends the flight, and every request that waits for
    /// it gets that error.
    ///
    /// # Cancellation
    ///
    /// The future is dropped when the flight's deadline passes, or when its runtime ends; never because a caller gave up.
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>>;

    /// Grows when the tokens that were obtained so far should be succeeded, as after a rotation of the secret.
    ///
    /// Read on every request, so it must be cheap. A source that wraps another forwards it.
    fn generation(&self) -> u64 {
        0
    }
}

/// Why a token is wanted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest<'a> {
    rejected: Option<&'a AccessToken>,
}

impl<'a> FetchRequest<'a> {
    /// A request as a layer makes it when it has no token, or an old one.
    #[expect(clippy::new_without_default, reason = "a default request for a token means nothing to a reader")]
    pub fn new() -> Self {
        Self { rejected: None }
    }

    /// Says which token the API refused.
    pub fn with_rejected(self, token: &'a AccessToken) -> Self {
        Self { rejected: Some(token) }
    }

    /// The token that the API refused, if that is why a new one is wanted: a cache must not give it out again.
    pub fn rejected(&self) -> Option<&'a AccessToken> {
        self.rejected
    }
}

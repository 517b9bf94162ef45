//! What is known about the token of a layer, for health checks and people.

use std::{fmt, time::Duration};

use crate::{
    error::AuthError,
    time::Moment,
    token::cache::{Record, TokenCache},
};

/// What is known about the token of a layer; returned by [`TokenHandle::status`](crate::token::TokenHandle::status).
///
/// # Example
///
/// ```
/// use tower_outbound_auth::token::{TokenHandle, TokenState};
///
/// /// Returns why calls fail, for a health check; `None` if there is a usable token.
/// fn problem(handle: &TokenHandle) -> Option<String> {
///     let status = handle.status();
///     match status.state {
///         TokenState::Fresh | TokenState::Stale => None,
///         state => Some(match status.last_error {
///             Some(error) => format!("the token is {state}: {error}"),
///             None => format!("the token is {state}"),
///         }),
///     }
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct TokenStatus {
    /// Whether there is a token, and how old it is.
    pub state: TokenState,
    /// The rest of its lifetime.
    ///
    /// `None` if there is no token, or if its server stated no lifetime.
    pub expires_in: Option<Duration>,
    /// Tokens obtained so far.
    pub issued: u64,
    /// Token fetches that failed so far; each may have made several attempts.
    pub failures: u64,
    /// Why the last fetch failed; `None` if it brought a token.
    pub last_error: Option<AuthError>,
}

/// How old the token of a layer is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// There is no token: none was fetched yet, or it was rejected or invalidated.
    Missing,
    /// It is valid, and not due for a refresh.
    Fresh,
    /// It is past its refresh point and still valid: the next request starts a refresh and goes on with it.
    Stale,
    /// It is no longer used: the next request fetches another, and waits.
    Expired,
}

impl fmt::Display for TokenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
        })
    }
}

impl TokenStatus {
    pub(super) fn read(cache: &TokenCache, now: Moment) -> Self {
        let Record { issued, failures, last_error } = cache.record();
        let current = cache.current();
        let state = match current.as_deref() {
            None => TokenState::Missing,
            Some(token) if !token.is_usable(now) => TokenState::Expired,
            Some(token) if token.is_stale(now) => TokenState::Stale,
            Some(_) => TokenState::Fresh,
        };
        let expires_in = current.as_deref().and_then(|token| token.token.expires_in());
        Self { state, expires_in, issued, failures, last_error }
    }
}

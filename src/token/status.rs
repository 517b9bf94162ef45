//! What is known about the token of a layer, for health checks and people.

use std::time::Duration;

use crate::{
    clock::Moment,
    error::AuthError,
    token::{gate::Record, store::Store},
};

/// What is known about the token of a layer.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct TokenStatus {
    /// Whether there is one, and how old it is.
    pub state: TokenState,
    /// How long it still lives; `None` if there is none, or if its server set no lifetime.
    pub expires_in: Option<Duration>,
    /// Tokens obtained so far.
    pub issued: u64,
    /// Flights failed so far; each may have made several tries.
    pub failures: u64,
    /// Why the last flight failed; `None` if it brought a token.
    pub last_error: Option<AuthError>,
}

/// How old the token of a layer is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// There is none: never was, or the API rejected it.
    Missing,
    /// It is young.
    Fresh,
    /// The next request refreshes it, and need not wait.
    Aging,
    /// It is of no use any more: the next request fetches another, and waits.
    Expired,
}

impl TokenStatus {
    pub(super) fn read(store: &Store, now: Moment) -> Self {
        let Record { issued, failures, last_error } = store.record();
        let current = store.current();
        let state = match current.as_deref() {
            None => TokenState::Missing,
            Some(token) if !token.is_usable(now) => TokenState::Expired,
            Some(token) if token.is_aging(now) => TokenState::Aging,
            Some(_) => TokenState::Fresh,
        };
        let expires_in = current.as_deref().and_then(|token| token.token.expires_in());
        Self { state, expires_in, issued, failures, last_error }
    }
}

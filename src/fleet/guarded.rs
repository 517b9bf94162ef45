//! A store with a time limit and a breaker for each use.

use std::{fmt, time::Duration};

use super::{
    breaker::Breaker,
    store::{StoreFuture, TokenStore},
};
use crate::{telemetry, time};

/// The only way to the store: an answer in time, or a reason to do without.
pub(super) struct GuardedStore {
    store: Box<dyn TokenStore>,
    timeout: Duration,
    breaker: Breaker,
}

impl GuardedStore {
    pub(super) fn new(store: Box<dyn TokenStore>, timeout: Duration) -> Self {
        Self { store, timeout, breaker: Breaker::default() }
    }

    pub(super) async fn ask<'a, T>(
        &'a self,
        step: impl FnOnce(&'a dyn TokenStore) -> StoreFuture<'a, T>,
    ) -> Result<T, Reason> {
        let Some(permit) = self.breaker.permit(time::instant(), fastrand::f64()) else {
            return Err(Reason::LeftAlone);
        };
        let (reason, error) = match time::within(self.timeout, step(&*self.store)).await {
            Ok(Some(Ok(answer))) => {
                self.breaker.succeeded(permit);
                return Ok(answer);
            }
            Ok(Some(Err(error))) => (Reason::Failed, Some(error)),
            Ok(None) => (Reason::TimedOut, None),
            Err(no_timers) => (Reason::Failed, Some(no_timers.into())),
        };
        if let Some(pause) = self.breaker.failed(permit, time::instant(), fastrand::f64()) {
            telemetry::store_failed(reason, error.as_deref(), pause);
        }
        Err(reason)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Why a process fetches a token for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Failed,
    TimedOut,
    /// It failed a moment ago.
    LeftAlone,
    /// The entry was not written by this fleet.
    Unreadable,
    /// The entry is the token that must not be used again.
    Retired,
    /// Another process has held the lease for as long as is waited for.
    LeaderSlow,
    NoKey,
}

impl Reason {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Failed => "the token store failed",
            Self::TimedOut => "the token store did not answer in time",
            Self::LeftAlone => "the token store failed a moment ago",
            Self::Unreadable => "the stored token is unreadable",
            Self::Retired => "the stored token is one that must not be used again",
            Self::LeaderSlow => "another process is fetching, and takes too long",
            Self::NoKey => "there is no key to seal the token with",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

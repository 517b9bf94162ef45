//! What the lock of the token cache guards.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Id;

use crate::{
    error::AuthError,
    time::{Instant, Moment, after},
    token::{
        budget::Budget,
        cached::CachedToken,
        policy::MIN_FETCH_INTERVAL,
        waiters::{Flight, Trigger},
    },
};

/// Who asks: what the cache has to know about the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) now: Moment,
    pub(crate) generation: u64,
    /// The runtime to run a fetch in, if there is one.
    pub(crate) runtime: Option<Id>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) flight: Option<Arc<Flight>>,
    /// The newest token, in use or not.
    pub(super) newest: Option<Arc<CachedToken>>,
    pub(super) standing: Standing,
    /// Of the newest token, without an acceptance between them.
    pub(super) rejections_in_a_row: u32,
    pub(super) budget: Budget,
    pub(super) backoff: Option<Backoff>,
    pub(super) failures_in_a_row: u32,
    pub(super) record: Record,
}

/// What becomes of the newest token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    InUse,
    /// Rejected twice in a row. It comes back into use if the fetch of its successor fails.
    Retired,
    /// By the user, for good.
    Invalidated,
}

#[derive(Debug)]
pub(super) struct Backoff {
    until: Instant,
    generation: u64,
    error: AuthError,
}

/// What is counted for `TokenStatus`.
#[derive(Clone, Debug, Default)]
pub(in crate::token) struct Record {
    pub(in crate::token) issued: u64,
    pub(in crate::token) failures: u64,
    /// `None` if the last fetch brought a token.
    pub(in crate::token) last_error: Option<AuthError>,
}

impl State {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            flight: None,
            newest: None,
            standing: Standing::InUse,
            rejections_in_a_row: 0,
            budget,
            backoff: None,
            failures_in_a_row: 0,
            record: Record::default(),
        }
    }

    /// Whether a request that carried this version carried the text of the newest token.
    pub(super) fn is_newest(&self, version: u32) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest.has_value_of_version(version))
    }

    /// The backoff, while it lasts. A rotation of the secret ends it: the failure was the old secret's.
    pub(super) fn backoff(&self, asker: Asker) -> Option<&Backoff> {
        let lasts = |backoff: &&Backoff| asker.now.instant < backoff.until && asker.generation <= backoff.generation;
        self.backoff.as_ref().filter(lasts)
    }

    pub(super) fn begin(&mut self, trigger: Trigger, asker: Asker, limit: Duration) -> Arc<Flight> {
        // Out of use too, as it may come back.
        if let Some(newest) = &self.newest {
            newest.refresh_started(asker.generation, newest.age(asker.now).saturating_add(limit));
        }
        let is_unwanted =
            matches!(trigger, Trigger::Rejected { .. } | Trigger::Forced) || self.standing != Standing::InUse;
        let rejected = self.newest.as_ref().filter(|_| is_unwanted).map(|newest| newest.token.clone());
        let overdue = after(asker.now.instant, limit);
        let flight = Arc::new(Flight::new(trigger, asker.generation, rejected, overdue, asker.runtime));
        self.flight = Some(Arc::clone(&flight));
        flight
    }

    /// Notes the newest token. It is in use, and nothing is known against it.
    pub(super) fn add(&mut self, added: Arc<CachedToken>, now: Instant) {
        self.budget.fetched(added.version, now);
        self.standing = Standing::InUse;
        self.rejections_in_a_row = 0;
        self.failures_in_a_row = 0;
        self.record.issued = added.version.into();
        self.newest = Some(added);
    }

    /// Notes a failed fetch; the error as those who waited get it. Without a backoff the next fetch may begin at once, but
    /// for an early one.
    pub(super) fn fail(
        &mut self,
        error: AuthError,
        backoff: Option<Duration>,
        generation: u64,
        now: Moment,
    ) -> AuthError {
        self.budget.fetch_ended(backoff.is_some(), now.instant);
        self.record.failures = self.record.failures.saturating_add(1);
        self.record.last_error = Some(error.clone());
        if let Some(newest) = &self.newest {
            let until = newest.age(now).saturating_add(backoff.unwrap_or(MIN_FETCH_INTERVAL));
            newest.postpone_refresh(until, generation);
        }
        let Some(wait) = backoff else {
            return error;
        };
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let backoff = Backoff { until: after(now.instant, wait), generation, error };
        let told = backoff.error_at(now.instant);
        self.backoff = Some(backoff);
        told
    }

    /// Whether the next acceptance of a token changes anything.
    pub(super) fn awaits_acceptance(&self) -> bool {
        self.rejections_in_a_row > 0 || self.budget.awaits_acceptance()
    }
}

impl Backoff {
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// The error, telling how long the backoff still lasts.
    pub(super) fn error_at(&self, now: Instant) -> AuthError {
        self.error.clone().with_retry_after(Some(self.left(now)))
    }
}

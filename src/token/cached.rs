//! A token in use: how old it is, which version, and when its successor is due.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use http::HeaderValue;

use crate::{
    time::{Moment, RequestTime, nanos},
    token::{AccessToken, policy::Life, sync::AtomicU64},
};

/// A token of one layer. Its age counts from its creation.
#[derive(Debug)]
pub(crate) struct CachedToken {
    pub(crate) token: AccessToken,
    /// Counts the tokens of a layer, from 1.
    pub(crate) version: u32,
    /// The first of the versions in a row that are the same text.
    first_version_with_value: u32,
    header: HeaderValue,
    life: Life,
    /// When it was created, by the clock of requests.
    created: RequestTime,
    /// `life.usable_for` in nanoseconds.
    usable_for: u64,
    /// The age, in nanoseconds, from which on a request is to look whether a refresh is due.
    next_refresh: AtomicU64,
    /// The source's generation that it was obtained in.
    generation: u64,
    /// The source's generation that a fetch was last begun for.
    refresh_started_for: AtomicU64,
}

impl CachedToken {
    pub(super) fn new(
        token: AccessToken,
        header: HeaderValue,
        life: Life,
        created: RequestTime,
        previous: Option<&Self>,
        generation: u64,
    ) -> Self {
        let version = previous.map_or(1, |previous| previous.version.saturating_add(1));
        let same = previous.filter(|previous| previous.token.has_value_of(&token));
        Self {
            version,
            first_version_with_value: same.map_or(version, |previous| previous.first_version_with_value),
            next_refresh: AtomicU64::new(nanos(life.stale_after)),
            refresh_started_for: AtomicU64::new(generation),
            generation,
            header,
            life,
            created,
            usable_for: nanos(life.usable_for),
            token,
        }
    }

    /// The header's value, marked sensitive.
    #[inline]
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    pub(crate) fn age(&self, now: Moment) -> Duration {
        now.since(self.token.created())
    }

    /// Its age in nanoseconds, if a request may use it.
    #[inline]
    pub(crate) fn usable_age(&self, now: RequestTime) -> Option<u64> {
        let age = now.nanos_since(self.created);
        (age < self.usable_for).then_some(age)
    }

    pub(super) fn is_usable(&self, now: Moment) -> bool {
        self.age(now) < self.life.usable_for
    }

    pub(super) fn is_stale(&self, now: Moment) -> bool {
        self.age(now) >= self.life.stale_after
    }

    /// Whether a request that carries this token is also to see to its successor. `age` is in nanoseconds.
    #[inline]
    pub(crate) fn needs_refresh(&self, age: u64, generation: u64) -> bool {
        age >= self.next_refresh.load(Relaxed) || self.is_outdated(generation)
    }

    /// Whether the source has moved on to a generation that no fetch was begun for.
    #[inline]
    pub(super) fn is_outdated(&self, generation: u64) -> bool {
        generation > self.refresh_started_for.load(Relaxed)
    }

    /// Whether a request that carried this version carried the same text.
    pub(crate) fn has_value_of_version(&self, version: u32) -> bool {
        self.first_version_with_value <= version
    }

    /// A fetch of its successor is under way; look again when that is overdue.
    pub(super) fn refresh_started(&self, generation: u64, overdue_age: Duration) {
        self.next_refresh.store(nanos(overdue_age), Relaxed);
        self.refresh_started_for.store(generation, Relaxed);
    }

    /// That fetch has failed. The next is due after a pause, and not before this token is stale, unless it is from before a
    /// rotation.
    pub(super) fn postpone_refresh(&self, until_age: Duration, generation: u64) {
        let until = nanos(until_age);
        let next = if generation > self.generation { until } else { until.max(nanos(self.life.stale_after)) };
        self.next_refresh.store(next, Relaxed);
    }

    /// The time until something is to be done about it.
    pub(super) fn due_in(&self, now: Moment) -> Duration {
        let due = Duration::from_nanos(self.next_refresh.load(Relaxed)).min(self.life.usable_for);
        due.saturating_sub(self.age(now))
    }
}

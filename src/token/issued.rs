//! A token in use: its life, its place among the others, and when its successor is due.

use std::sync::atomic::Ordering::Relaxed;

use http::HeaderValue;

use crate::{
    clock::Moment,
    lanes::Lanes,
    token::{
        AccessToken,
        schedule::Life,
        sync::{AtomicBool, AtomicU64},
    },
};

/// A token in use.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: AccessToken,
    /// Counts the tokens of a layer, from 1.
    pub(crate) ordinal: u32,
    headers: Lanes<HeaderValue>,
    /// The first of the tokens in a row that are the same text.
    same_since: u32,
    life: Life,
    /// It had no usable moment even when it came: for those who waited, once.
    stillborn: bool,
    retired: AtomicBool,
    /// When a request should look whether a flight is due, or overdue.
    attend_at: AtomicU64,
    /// The source's generation that it is from.
    obtained_in: u64,
    /// The source's generation for which a flight was last begun.
    flown_for: AtomicU64,
}

impl Issued {
    pub(super) fn new(token: AccessToken, life: Life, before: Option<&Self>, generation: u64, now: Moment) -> Self {
        let ordinal = before.map_or(1, |before| before.ordinal.saturating_add(1));
        let same = before.filter(|before| before.token.is_same(&token));
        Self {
            ordinal,
            same_since: same.map_or(ordinal, |before| before.same_since),
            stillborn: now >= life.usable,
            retired: AtomicBool::new(false),
            attend_at: AtomicU64::new(life.refresh.as_nanos()),
            obtained_in: generation,
            flown_for: AtomicU64::new(generation),
            headers: token.header_for_each_lane(),
            life,
            token,
        }
    }

    /// `Bearer <token>`, marked sensitive.
    #[inline]
    pub(crate) fn header(&self) -> HeaderValue {
        self.headers.mine().clone()
    }

    #[inline]
    pub(crate) fn is_usable(&self, now: Moment) -> bool {
        now < self.life.usable
    }

    pub(super) fn is_aging(&self, now: Moment) -> bool {
        now >= self.life.refresh
    }

    /// Whether somebody who waited for this token may have it though its time is over.
    pub(super) fn is_good_once(&self) -> bool {
        self.stillborn && !self.is_retired()
    }

    /// Whether a request that carries this token should also see to its successor.
    #[inline]
    pub(crate) fn needs_attention(&self, now: Moment, generation: u64) -> bool {
        now.as_nanos() >= self.attend_at.load(Relaxed) || self.is_outdated(generation)
    }

    /// Whether the source has moved on, and no flight was begun for that.
    #[inline]
    pub(super) fn is_outdated(&self, generation: u64) -> bool {
        generation > self.flown_for.load(Relaxed)
    }

    /// Whether a request that carried the token with this ordinal carried the same text.
    pub(crate) fn is_same_as(&self, ordinal: u32) -> bool {
        self.same_since <= ordinal
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    /// A flight for its successor is under way, and overdue at some time.
    pub(super) fn attended(&self, generation: u64, overdue: Moment) {
        self.attend_at.store(overdue.as_nanos(), Relaxed);
        self.flown_for.store(generation, Relaxed);
    }

    /// The flight failed: the next is due when the token is old, or as soon as may be if it is from before a rotation.
    pub(super) fn put_off(&self, until: Moment, generation: u64) {
        let outdated = generation > self.obtained_in;
        let next = if outdated { until } else { until.max(self.life.refresh) };
        self.attend_at.store(next.as_nanos(), Relaxed);
    }

    /// When something has to be done about it.
    pub(super) fn due(&self) -> Moment {
        Moment::from_nanos(self.attend_at.load(Relaxed)).min(self.life.usable)
    }
}

//! Which entries leave a table: the idle ones, and beyond the capacity those that were used the longest ago.

use std::{
    hash::Hash,
    iter,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use crate::{
    keyed::{
        bucket::{Bucket, Entry, Keep, is_in_use},
        table::Table,
    },
    time::Instant,
};

/// What one look at all entries has found.
pub(super) struct Seen<K, V> {
    pub(super) least_recently_used: Option<(u64, Arc<Entry<K, V>>)>,
    pub(super) idle: Vec<Arc<Entry<K, V>>>,
    pub(super) evicted: Vec<Arc<Entry<K, V>>>,
}

impl<K: Eq + Hash, V: Keep> Table<K, V> {
    /// Evicts what is idle, and lets go of what was evicted and is not used any more.
    pub(in crate::keyed) fn sweep(&self, now: Instant) {
        let next = self.passed(now).saturating_add((self.idle_timeout / 8).max(MIN_SWEEP_INTERVAL));
        self.next_sweep.store(next, Relaxed);
        self.tidy(self.see(now), now);
    }

    pub(super) fn admit(&self, now: Instant) {
        self.admitted.fetch_add(1, Relaxed);
        while self.admitted() > self.capacity {
            let mut seen = self.see(now);
            let least_recently_used = seen.least_recently_used.take();
            self.tidy(seen, now);
            match least_recently_used {
                Some((_, entry)) if self.admitted() > self.capacity => _ = self.retire(&entry, now),
                _ => return,
            }
        }
    }

    pub(super) fn readmit(&self, entry: &Arc<Entry<K, V>>, now: Instant) -> bool {
        let mut is_there = false;
        let is_readmitted = self.change(entry.hash, |bucket| {
            let slot = bucket.slot_of(entry);
            is_there = slot.is_some();
            slot?.is_evicted.then(|| bucket.with_evicted(entry, false))
        });
        if is_readmitted {
            self.admit(now);
        }
        is_there
    }

    /// Evicts an entry, and lets go of it if it can; says whether it is gone.
    pub(super) fn retire(&self, entry: &Arc<Entry<K, V>>, now: Instant) -> bool {
        let is_evicted = self.change(entry.hash, |bucket| {
            (!bucket.slot_of(entry)?.is_evicted).then(|| bucket.with_evicted(entry, true))
        });
        if is_evicted {
            self.admitted.fetch_sub(1, Relaxed);
        }
        !entry.value.is_backing_off(now) && self.let_go(entry)
    }

    /// Drops an entry that is evicted, unless it is in use; says whether it did.
    fn let_go(&self, entry: &Arc<Entry<K, V>>) -> bool {
        self.change(entry.hash, |bucket| {
            (bucket.slot_of(entry)?.is_evicted && !is_in_use(entry)).then(|| bucket.without(entry))
        })
    }

    pub(super) fn see(&self, now: Instant) -> Seen<K, V> {
        let passed = self.passed(now);
        let mut seen = Seen { least_recently_used: None, idle: Vec::new(), evicted: Vec::new() };
        for bucket in iter::once(&self.first).chain(&self.others) {
            for slot in bucket.load().as_deref().map_or(&[][..], Bucket::slots) {
                let last_use = slot.entry.last_use.load(Relaxed);
                if slot.is_evicted {
                    seen.evicted.push(Arc::clone(&slot.entry));
                } else if passed.saturating_sub(slot.entry.used_at.load(Relaxed)) >= self.idle_timeout {
                    seen.idle.push(Arc::clone(&slot.entry));
                } else if seen.least_recently_used.as_ref().is_none_or(|(least, _)| last_use < *least) {
                    seen.least_recently_used = Some((last_use, Arc::clone(&slot.entry)));
                }
            }
        }
        seen
    }

    fn tidy(&self, seen: Seen<K, V>, now: Instant) {
        for entry in seen.idle {
            self.retire(&entry, now);
        }
        let (mut backing_off, others): (Vec<_>, Vec<_>) =
            seen.evicted.into_iter().partition(|entry| entry.value.is_backing_off(now));
        for entry in others {
            self.let_go(&entry);
        }
        let most = usize::try_from(self.capacity).unwrap_or(usize::MAX).max(MIN_BACKOFFS);
        let too_many = backing_off.len().saturating_sub(most);
        backing_off.sort_by_key(|entry| entry.last_use.load(Relaxed));
        for entry in backing_off.into_iter().take(too_many) {
            self.let_go(&entry);
        }
    }
}

/// In nanoseconds.
const MIN_SWEEP_INTERVAL: u64 = 1_000_000_000;
/// At least so many evicted entries are kept for their backoff; at most as many as are not evicted.
pub(super) const MIN_BACKOFFS: usize = 1_000;

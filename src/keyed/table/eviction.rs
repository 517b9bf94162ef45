//! Which entries leave a table: the idle ones, and beyond the capacity those that were used the longest ago.

use std::{
    cmp::Reverse,
    hash::Hash,
    iter, mem,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
};

use crate::{
    keyed::{
        bucket::{Bucket, Entry, Keep, is_in_use},
        table::{Candidate, Table},
    },
    time::Instant,
    token::sync::MutexGuard,
};

/// What one look at all entries has found.
pub(super) struct Seen<K, V> {
    pub(super) admitted: Vec<Candidate<K, V>>,
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
            if let Some(entry) = self.candidate() {
                self.retire(&entry, now);
            } else if !self.choose_candidates(now) {
                return;
            }
        }
    }

    /// The least recently used entry, if it is among the candidates: all others were used later.
    fn candidate(&self) -> Option<Arc<Entry<K, V>>> {
        loop {
            let candidate = self.candidates().pop()?;
            let entry = candidate.entry.upgrade();
            let last_use = |entry: &Arc<Entry<K, V>>| entry.last_use.load(Relaxed);
            let is_unused = |entry: &Arc<_>| last_use(entry) == candidate.last_use && self.is_admitted(entry);
            if let Some(entry) = entry.filter(is_unused) {
                return Some(entry);
            }
        }
    }

    /// Looks at all entries; says whether there are candidates, or room by now. One look serves many evictions.
    fn choose_candidates(&self, now: Instant) -> bool {
        let mut seen = self.see(now);
        let mut admitted = mem::take(&mut seen.admitted);
        self.tidy(seen, now);
        admitted.sort_unstable_by_key(|candidate| Reverse(candidate.last_use));
        let share = usize::try_from(self.capacity / 16).unwrap_or(usize::MAX);
        let chosen = admitted.split_off(admitted.len().saturating_sub(share + 1));
        let is_any = !chosen.is_empty();
        let replaced = mem::replace(&mut *self.candidates(), chosen);
        drop(replaced);
        is_any
    }

    fn candidates(&self) -> MutexGuard<'_, Vec<Candidate<K, V>>> {
        self.candidates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_admitted(&self, entry: &Arc<Entry<K, V>>) -> bool {
        let bucket = self.bucket(entry.hash).load();
        bucket.as_deref().and_then(|bucket| bucket.slot_of(entry)).is_some_and(|slot| !slot.is_evicted)
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
        let mut seen = Seen { admitted: Vec::new(), idle: Vec::new(), evicted: Vec::new() };
        for bucket in iter::once(&self.first).chain(&self.others) {
            for slot in bucket.load().as_deref().map_or(&[][..], Bucket::slots) {
                if slot.is_evicted {
                    seen.evicted.push(Arc::clone(&slot.entry));
                } else if passed.saturating_sub(slot.entry.used_at.load(Relaxed)) >= self.idle_timeout {
                    seen.idle.push(Arc::clone(&slot.entry));
                } else {
                    let last_use = slot.entry.last_use.load(Relaxed);
                    seen.admitted.push(Candidate { last_use, entry: Arc::downgrade(&slot.entry) });
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

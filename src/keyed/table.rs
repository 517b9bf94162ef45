//! Entries by key: found without a lock, limited in number and age, the least recently used evicted first.
//!
//! No foreign code (a key's `Eq`, `make`, the drop of a value) runs under a lock: each bucket is a list behind an
//! `ArcSwap`, and a change replaces it. An entry leaves in two steps, so that a key never has two entries in use: first
//! it is evicted, which every later look-up can see, and then it is dropped if no earlier look-up had found it. What is
//! still in use stays, and is readmitted when it is asked for again.

mod eviction;
#[cfg(all(test, auth_model))]
mod model;
#[cfg(test)]
mod tests;

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use crate::{
    keyed::bucket::{Bucket, Entry, Keep, Making},
    time::{self, Instant, nanos},
    token::sync::{AtomicU64, Guard, Mutex, Swap, replace},
};

pub(super) struct Table<K, V> {
    first: Swap<Bucket<K, V>>,
    others: Box<[Swap<Bucket<K, V>>]>,
    hasher: RandomState,
    capacity: u64,
    /// In nanoseconds.
    idle_timeout: u64,
    start: Instant,
    /// The entries that are not evicted. For a moment it may be less than none.
    admitted: AtomicU64,
    /// The number of the latest use.
    uses: Apart,
    /// When to look for idle entries, in nanoseconds from the start.
    next_sweep: AtomicU64,
    /// Entries to evict next, in turn from the end. Locked to push and pop only.
    candidates: Mutex<Vec<Candidate<K, V>>>,
}

/// An entry, and the number of its last use when it was among the least recently used.
struct Candidate<K, V> {
    last_use: u64,
    entry: Weak<Entry<K, V>>,
}

/// On its own cache line, since threads that use different keys write to it, and all read what is beside it.
#[repr(align(128))]
struct Apart(AtomicU64);

/// Notes that an entry is being made, until it is dropped.
struct MakingGuard<'a, K, V> {
    table: &'a Table<K, V>,
    making: Arc<Making>,
}

impl<K, V> Table<K, V> {
    pub(super) fn new(capacity: usize, idle_timeout: Duration, now: Instant) -> Self {
        let capacity = capacity.max(1);
        let buckets = capacity.min(MAX_BUCKETS).next_power_of_two();
        Self {
            first: Swap::default(),
            others: (1..buckets).map(|_| Swap::default()).collect(),
            hasher: RandomState::new(),
            capacity: capacity as u64,
            idle_timeout: nanos(idle_timeout),
            start: now,
            admitted: AtomicU64::new(0),
            uses: Apart(AtomicU64::new(0)),
            next_sweep: AtomicU64::new(0),
            candidates: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        Duration::from_nanos(self.idle_timeout)
    }

    /// The number of entries that are not evicted. While others are being added, it may be more than the capacity.
    pub(super) fn admitted(&self) -> u64 {
        u64::try_from(self.admitted.load(Relaxed).cast_signed()).unwrap_or(0)
    }

    fn bucket(&self, hash: u64) -> &Swap<Bucket<K, V>> {
        // Together they are a power of two; one of the numbers is that of no other bucket.
        let at = usize::try_from(hash & self.others.len() as u64).unwrap_or(0);
        self.others.get(at).unwrap_or(&self.first)
    }

    fn passed(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.start))
    }

    /// Replaces a bucket by what is made of it, unless that is nothing; says whether it did.
    fn change(&self, hash: u64, mut change: impl FnMut(&Bucket<K, V>) -> Option<Bucket<K, V>>) -> bool {
        let (bucket, empty) = (self.bucket(hash), Bucket::default());
        loop {
            let current = bucket.load();
            let Some(changed) = change(current.as_deref().unwrap_or(&empty)) else {
                return false;
            };
            if replace(bucket, &current, changed) {
                return true;
            }
        }
    }

    /// Notes a use; says whether the entry was used within the idle timeout before.
    #[inline]
    fn note_use(&self, entry: &Entry<K, V>, now: u64) -> bool {
        let idle = now.saturating_sub(entry.used_at.load(Relaxed));
        // Threads that share an entry should not write to it at each use.
        if idle >= self.idle_timeout / 1024 {
            if idle >= self.idle_timeout {
                return false;
            }
            entry.used_at.store(now, Relaxed);
        }
        let uses_since = self.uses.0.load(Relaxed).saturating_sub(entry.last_use.load(Relaxed));
        if uses_since > self.capacity / 16 {
            self.number_use(entry);
        }
        true
    }

    fn number_use(&self, entry: &Entry<K, V>) {
        entry.last_use.store(self.uses.0.fetch_add(1, Relaxed) + 1, Relaxed);
    }
}

impl<K: Eq + Hash, V: Keep> Table<K, V> {
    #[inline]
    pub(super) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The bucket of a hash. The guard must not live across an await.
    #[inline]
    pub(super) fn look(&self, hash: u64, now: Instant) -> Guard<Bucket<K, V>> {
        if self.passed(now) >= self.next_sweep.load(Relaxed) {
            self.sweep(now);
        }
        self.bucket(hash).load()
    }

    /// The value of a key, if it is there and neither evicted nor idle; notes that it is used.
    #[inline]
    pub(super) fn find<'a>(&self, bucket: &'a Guard<Bucket<K, V>>, hash: u64, key: &K, now: Instant) -> Option<&'a V> {
        let slot = bucket.as_deref()?.find(hash, key)?;
        (!slot.is_evicted && self.note_use(&slot.entry, self.passed(now))).then_some(&slot.entry.value)
    }

    /// The entry of a key; what `make` returns, if there is none. `make` may run at the same time for other callers: the
    /// first result is kept.
    #[cold]
    pub(super) fn find_or_make<E>(&self, key: &K, make: impl Fn() -> Result<V, E>) -> Result<Arc<Entry<K, V>>, E>
    where
        K: Clone,
    {
        self.find_or_make_at(key, time::instant, make)
    }

    fn find_or_make_at<E>(
        &self,
        key: &K,
        now: impl Fn() -> Instant,
        make: impl Fn() -> Result<V, E>,
    ) -> Result<Arc<Entry<K, V>>, E>
    where
        K: Clone,
    {
        let hash = self.hash(key);
        loop {
            let bucket = self.look(hash, now());
            let found = bucket.as_deref().and_then(|bucket| bucket.find(hash, key));
            let found = found.map(|slot| (Arc::clone(&slot.entry), slot.is_evicted));
            drop(bucket);
            let kept = if let Some((entry, is_evicted)) = found {
                self.take_up(&entry, is_evicted, now()).then_some(entry)
            } else {
                let making = MakingGuard::begin(self, hash);
                self.insert(&making.making, key.clone(), make()?, now())
            };
            if let Some(entry) = kept {
                return Ok(entry);
            }
        }
    }

    /// Notes a use of an entry that was found; says whether it can be used.
    fn take_up(&self, entry: &Arc<Entry<K, V>>, is_evicted: bool, now: Instant) -> bool {
        let passed = self.passed(now);
        let is_fresh = self.note_use(entry, passed);
        if is_fresh && !is_evicted {
            return true;
        }
        if !is_fresh && self.retire(entry, now) {
            return false;
        }
        entry.used_at.store(passed, Relaxed);
        self.number_use(entry);
        self.readmit(entry, now)
    }

    /// Adds what was made, unless there is an entry of its key by now, or the key was removed meanwhile.
    fn insert(&self, making: &Arc<Making>, key: K, value: V, now: Instant) -> Option<Arc<Entry<K, V>>> {
        let (hash, used_at) = (making.hash, AtomicU64::new(self.passed(now)));
        let entry = Arc::new(Entry { hash, key, value, last_use: AtomicU64::new(0), used_at });
        self.number_use(&entry);
        let is_added = self.change(hash, |bucket| {
            let may = bucket.is_making(making) && bucket.find(hash, &entry.key).is_none();
            may.then(|| bucket.with(&entry))
        });
        is_added.then(|| {
            self.admit(now);
            entry
        })
    }

    /// Removes the entry of a key, and takes no entry that is being made for it now; says whether there was one.
    pub(super) fn remove(&self, key: &K) -> bool {
        let hash = self.hash(key);
        let mut removed = None;
        self.change(hash, |bucket| {
            removed = bucket.find(hash, key).map(|slot| (Arc::clone(&slot.entry), slot.is_evicted));
            let rest = bucket.without_making_of(hash);
            match &removed {
                Some((entry, _)) => Some(rest.as_ref().unwrap_or(bucket).without(entry)),
                None => rest,
            }
        });
        if let Some((_, false)) = removed {
            self.admitted.fetch_sub(1, Relaxed);
        }
        removed.is_some()
    }
}

impl<'a, K, V> MakingGuard<'a, K, V> {
    fn begin(table: &'a Table<K, V>, hash: u64) -> Self {
        let making = Arc::new(Making { hash });
        table.change(hash, |bucket| Some(bucket.with_making(&making)));
        Self { table, making }
    }
}

impl<K, V> Drop for MakingGuard<'_, K, V> {
    fn drop(&mut self) {
        let making = &self.making;
        self.table.change(making.hash, |bucket| bucket.is_making(making).then(|| bucket.without_making(making)));
    }
}

/// More entries than these share buckets.
const MAX_BUCKETS: usize = 1 << 16;

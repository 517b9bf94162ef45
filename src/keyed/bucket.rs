//! The entries of one bucket: a list that is never changed, only replaced.

use std::sync::{
    Arc,
    atomic::{Ordering::Acquire, fence},
};

use crate::{time::Instant, token::sync::AtomicU64};

/// What a table has for one key.
#[derive(Debug)]
pub(super) struct Entry<K, V> {
    pub(super) hash: u64,
    pub(super) key: K,
    pub(super) value: V,
    /// The number of its last use among those of the table.
    pub(super) last_use: AtomicU64,
    /// The time of its last use, in nanoseconds from the table's start.
    pub(super) used_at: AtomicU64,
}

/// Why a value that was evicted is kept.
pub(super) trait Keep {
    /// Whether anybody uses it without holding its entry.
    fn is_in_use(&self) -> bool;

    /// Whether it holds back what a new value in its place would do at once.
    fn is_backing_off(&self, now: Instant) -> bool;
}

#[derive(Debug)]
pub(super) struct Bucket<K, V> {
    slots: Vec<Slot<K, V>>,
    /// How often an entry was removed, or was to be. An entry made before a removal must not be added after it.
    removals: u64,
}

#[derive(Debug)]
pub(super) struct Slot<K, V> {
    pub(super) entry: Arc<Entry<K, V>>,
    /// Evicted, and kept for those who still use it: to be used again, it has to be readmitted.
    pub(super) is_evicted: bool,
}

impl<K, V> Bucket<K, V> {
    pub(super) fn slots(&self) -> &[Slot<K, V>] {
        &self.slots
    }

    pub(super) fn removals(&self) -> u64 {
        self.removals
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &K) -> Option<&Slot<K, V>>
    where
        K: Eq,
    {
        self.slots.iter().find(|slot| slot.entry.hash == hash && slot.entry.key == *key)
    }

    pub(super) fn slot_of(&self, entry: &Arc<Entry<K, V>>) -> Option<&Slot<K, V>> {
        self.slots.iter().find(|slot| Arc::ptr_eq(&slot.entry, entry))
    }

    pub(super) fn with(&self, entry: &Arc<Entry<K, V>>) -> Self {
        let added = Slot { entry: Arc::clone(entry), is_evicted: false };
        Self { slots: self.slots.iter().map(Slot::clone).chain([added]).collect(), ..*self }
    }

    pub(super) fn without(&self, entry: &Arc<Entry<K, V>>) -> Self {
        let others = self.slots.iter().filter(|slot| !Arc::ptr_eq(&slot.entry, entry));
        Self { slots: others.map(Slot::clone).collect(), ..*self }
    }

    /// The same after a removal, of this entry if there was one.
    pub(super) fn after_removal(&self, removed: Option<&Arc<Entry<K, V>>>) -> Self {
        let others = self.slots.iter().filter(|slot| removed.is_none_or(|entry| !Arc::ptr_eq(&slot.entry, entry)));
        Self { slots: others.map(Slot::clone).collect(), removals: self.removals.wrapping_add(1) }
    }

    pub(super) fn with_evicted(&self, entry: &Arc<Entry<K, V>>, is_evicted: bool) -> Self {
        let changed = self.slots.iter().map(|slot| match Arc::ptr_eq(&slot.entry, entry) {
            true => Slot { entry: Arc::clone(entry), is_evicted },
            false => slot.clone(),
        });
        Self { slots: changed.collect(), ..*self }
    }
}

impl<K, V> Default for Bucket<K, V> {
    fn default() -> Self {
        Self { slots: Vec::new(), removals: 0 }
    }
}

impl<K, V> Clone for Slot<K, V> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), is_evicted: self.is_evicted }
    }
}

/// Whether anybody but the table and the caller uses the entry, or may be about to.
///
/// True only for an entry that is evicted: any other can be found and used at any time. Whoever found it before it was
/// evicted holds the bucket of then, and with that a reference.
pub(super) fn is_in_use<K, V: Keep>(entry: &Arc<Entry<K, V>>) -> bool {
    let is_held = Arc::strong_count(entry) > OWN_REFERENCES;
    // What those who let go of it did with its value before comes first.
    fence(Acquire);
    is_held || entry.value.is_in_use()
}

/// The bucket's, and that of the caller of [`is_in_use`].
const OWN_REFERENCES: usize = 2;

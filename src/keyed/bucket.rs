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
    /// Whether it is used without a reference to its entry.
    fn is_in_use(&self) -> bool;

    /// Whether it holds back what a new value in its place would do at once.
    fn is_backing_off(&self, now: Instant) -> bool;
}

#[derive(Debug)]
pub(super) struct Bucket<K, V> {
    slots: Vec<Slot<K, V>>,
    /// What is being made. An entry made before a removal of its key must not be added after it: a removal takes it out here.
    making: Vec<Arc<Making>>,
}

/// One call of `make`, under way.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) hash: u64,
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

    #[cfg(test)]
    pub(super) fn making(&self) -> usize {
        self.making.len()
    }

    pub(super) fn is_making(&self, making: &Arc<Making>) -> bool {
        self.making.iter().any(|other| Arc::ptr_eq(other, making))
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

    pub(super) fn with_making(&self, making: &Arc<Making>) -> Self {
        let mut changed = self.clone();
        changed.making.push(Arc::clone(making));
        changed
    }

    pub(super) fn without_making(&self, making: &Arc<Making>) -> Self {
        let mut changed = self.clone();
        changed.making.retain(|other| !Arc::ptr_eq(other, making));
        changed
    }

    pub(super) fn with(&self, entry: &Arc<Entry<K, V>>) -> Self {
        let mut changed = self.clone();
        changed.slots.push(Slot { entry: Arc::clone(entry), is_evicted: false });
        changed
    }

    pub(super) fn without(&self, entry: &Arc<Entry<K, V>>) -> Self {
        let mut changed = self.clone();
        changed.slots.retain(|slot| !Arc::ptr_eq(&slot.entry, entry));
        changed
    }

    /// Takes out what is being made for this hash; `None` if nothing is.
    pub(super) fn without_making_of(&self, hash: u64) -> Option<Self> {
        let mut changed = self.clone();
        changed.making.retain(|making| making.hash != hash);
        (changed.making.len() < self.making.len()).then_some(changed)
    }

    pub(super) fn with_evicted(&self, entry: &Arc<Entry<K, V>>, is_evicted: bool) -> Self {
        let mut changed = self.clone();
        let mut slots = changed.slots.iter_mut();
        slots.find(|slot| Arc::ptr_eq(&slot.entry, entry)).into_iter().for_each(|slot| slot.is_evicted = is_evicted);
        changed
    }
}

impl<K, V> Default for Bucket<K, V> {
    fn default() -> Self {
        Self { slots: Vec::new(), making: Vec::new() }
    }
}

impl<K, V> Clone for Bucket<K, V> {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone(), making: self.making.clone() }
    }
}

impl<K, V> Clone for Slot<K, V> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), is_evicted: self.is_evicted }
    }
}

/// Whether the entry is used, or may be about to be, by others than the table and the caller.
///
/// Meaningful only for an entry that is evicted: any other can be found at any time. A caller that found it before it was
/// evicted holds the bucket of that time, and so a reference to the entry.
pub(super) fn is_in_use<K, V: Keep>(entry: &Arc<Entry<K, V>>) -> bool {
    let is_held = Arc::strong_count(entry) > OWN_REFERENCES;
    // What those who let go of it did with its value before comes first.
    fence(Acquire);
    is_held || entry.value.is_in_use()
}

/// The bucket's, and that of the caller of [`is_in_use`].
const OWN_REFERENCES: usize = 2;

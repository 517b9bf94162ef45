use std::{
    cell::Cell,
    convert::Infallible,
    hash::Hasher,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{eviction::MIN_BACKOFFS, *};

mod beside_a_list;

/// A value with a number, in use while there are references to its `users`.
struct Value {
    number: u64,
    users: Arc<()>,
    backs_off: bool,
}

impl Keep for Value {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.users) > 1
    }

    fn is_backing_off(&self, _now: Instant) -> bool {
        self.backs_off
    }
}

/// A table, and the number of values made for it.
struct World<K = u32> {
    table: Table<K, Value>,
    made: Cell<u64>,
    now: Instant,
    backs_off: bool,
}

const SECOND: Duration = Duration::from_secs(1);

impl<K: Clone + Eq + Hash> World<K> {
    fn new(capacity: usize, idle_timeout: Duration) -> Self {
        let now = time::instant();
        Self { table: Table::new(capacity, idle_timeout, now), made: Cell::new(0), now, backs_off: false }
    }

    /// Uses a key as a request does; the number of its value, and a hold on it.
    fn use_key(&self, key: &K) -> (u64, Arc<()>) {
        let hash = self.table.hash(key);
        let bucket = self.table.look(hash, self.now);
        if let Some(value) = self.table.find(&bucket, hash, key, self.now) {
            return (value.number, Arc::clone(&value.users));
        }
        drop(bucket);
        let entry = self.table.find_or_make_at(key, || self.now, || Ok::<_, Infallible>(self.value())).unwrap();
        (entry.value.number, Arc::clone(&entry.value.users))
    }

    fn value(&self) -> Value {
        self.made.set(self.made.get() + 1);
        Value { number: self.made.get(), users: Arc::default(), backs_off: self.backs_off }
    }

    fn numbers(&self, keys: impl IntoIterator<Item = K>) -> Vec<u64> {
        keys.into_iter().map(|key| self.use_key(&key).0).collect()
    }

    fn making(&self) -> usize {
        let buckets = iter::once(&self.table.first).chain(&self.table.others);
        buckets.map(|bucket| bucket.load().as_deref().map_or(0, Bucket::making)).sum()
    }

    fn kept(&self) -> usize {
        let seen = self.table.see(self.now);
        seen.evicted.len() + seen.idle.len() + usize::try_from(self.table.admitted()).unwrap()
    }
}

#[test]
fn the_least_recently_used_goes_first() {
    let world = World::new(3, SECOND);
    assert_eq!(world.numbers([10, 20, 30, 10, 20, 40]), [1, 2, 3, 1, 2, 4]);
    assert_eq!(world.numbers([10, 20, 40]), [1, 2, 4], "30 was used the longest ago");
    assert_eq!(world.numbers([30]), [5]);
    assert_eq!(world.table.admitted(), 3);
}

#[test]
fn what_is_idle_goes_when_it_is_looked_for_and_when_it_is_not() {
    let mut world = World::new(10, 100 * SECOND);
    assert_eq!(world.numbers([1, 2]), [1, 2]);
    world.now += 60 * SECOND;
    assert_eq!(world.numbers([1]), [1]);
    world.now += 60 * SECOND;
    assert_eq!((world.numbers([1]), world.table.admitted()), (vec![1], 1), "any use looks for idle ones");
    world.now += 100 * SECOND;
    world.table.next_sweep.store(u64::MAX, Relaxed);
    assert_eq!(world.numbers([1]), [3]);
}

#[test]
fn an_idle_entry_makes_room_before_any_other_goes() {
    let mut world = World::new(2, 100 * SECOND);
    world.use_key(&1);
    world.now += 90 * SECOND;
    world.use_key(&2);
    world.table.next_sweep.store(u64::MAX, Relaxed);
    world.now += 20 * SECOND;
    assert_eq!((world.numbers([3, 2]), world.table.admitted()), (vec![3, 2], 2));
}

#[test]
fn what_is_in_use_stays_the_one_of_its_key() {
    let mut world = World::new(1, 100 * SECOND);
    let (first, user) = world.use_key(&1);
    assert_eq!(world.numbers([2, 3]), [2, 3]);
    assert_eq!((world.table.admitted(), world.kept()), (1, 2), "evicted, and kept");
    world.now += 1_000 * SECOND;
    assert_eq!(world.use_key(&1).0, first, "idle, evicted, and in use");
    drop(user);
    world.use_key(&2);
    assert_eq!((world.table.admitted(), world.kept()), (1, 1));
    assert_eq!(world.numbers([1]), [5]);
}

#[test]
fn an_entry_that_backs_off_is_kept_but_only_so_many() {
    let mut world = World::new(10, SECOND);
    world.backs_off = true;
    let numbers = world.numbers(0..500);
    assert_eq!((world.table.admitted(), world.kept()), (10, 500));
    assert_eq!(world.numbers(0..500), numbers);
    for key in 500..2_000 {
        world.use_key(&key);
        assert!(world.kept() <= 10 + MIN_BACKOFFS + 1, "{}", world.kept());
    }
    assert_eq!(world.numbers([1_999, 1_500, 100]), [2_000, 1_501, 2_001], "the least recently used was let go of");
}

#[test]
fn a_removal_ends_what_is_being_made() {
    let world = World::new(10, SECOND);
    let removals = Cell::new(3);
    let make = || {
        if removals.get() > 0 {
            removals.set(removals.get() - 1);
            assert!(!world.table.remove(&7), "it is not there yet");
        }
        Ok::<_, Infallible>(world.value())
    };
    let entry = world.table.find_or_make(&7, make).unwrap();
    assert_eq!(entry.value.number, 4, "made anew after each removal");
    assert!(world.table.remove(&7) && !world.table.remove(&7));
    assert_eq!((world.table.admitted(), world.numbers([7])), (0, vec![5]));
}

#[test]
fn an_evicted_entry_can_be_removed_and_is_not_counted_twice() {
    let world = World::new(1, SECOND);
    let _user = world.use_key(&1);
    world.use_key(&2);
    assert_eq!((world.table.admitted(), world.kept()), (1, 2));
    assert!(world.table.remove(&1));
    assert_eq!((world.table.admitted(), world.kept()), (1, 1));
    assert_eq!(world.numbers([1]), [3]);
}

/// All keys of this type have one hash.
#[derive(Clone, PartialEq, Eq)]
struct Colliding(u32);

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

#[test]
fn keys_with_one_hash_are_told_apart() {
    let world = World::new(100, SECOND);
    let keys = || (0..100).map(Colliding);
    assert_eq!(world.numbers(keys()), (1..=100).collect::<Vec<_>>());
    assert_eq!(world.numbers(keys().rev()), (1..=100).rev().collect::<Vec<_>>());
    assert!(world.table.remove(&Colliding(50)));
    assert_eq!(world.numbers([49, 50, 51].map(Colliding)), [50, 101, 52]);
}

/// Panics when it is compared, if it is told to.
#[derive(Clone)]
struct Panicking(u32, bool);

impl PartialEq for Panicking {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.1 && !other.1, "a comparison that panics");
        self.0 == other.0
    }
}

impl Eq for Panicking {}

impl Hash for Panicking {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

#[test]
fn a_comparison_that_panics_changes_nothing() {
    let world = World::new(10, SECOND);
    assert_eq!(world.numbers([1, 2].map(|key| Panicking(key, false))), [1, 2]);
    for _ in 0..3 {
        let asked = catch_unwind(AssertUnwindSafe(|| world.use_key(&Panicking(1, true))));
        let removed = catch_unwind(AssertUnwindSafe(|| world.table.remove(&Panicking(2, true))));
        assert!(asked.is_err() && removed.is_err());
    }
    assert_eq!(world.numbers([1, 2, 3].map(|key| Panicking(key, false))), [1, 2, 3]);
    assert_eq!((world.table.admitted(), world.kept()), (3, 3));
}

#[test]
fn a_make_that_fails_or_panics_leaves_nothing() {
    let world = World::new(10, SECOND);
    assert_eq!(world.table.find_or_make(&1, || Err("no")).err(), Some("no"));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        world.table.find_or_make(&1, || -> Result<Value, Infallible> { panic!("a make that panics") }).err()
    }));
    assert!(panicked.is_err());
    assert_eq!(world.making(), 0);
    assert_eq!((world.table.admitted(), world.kept(), world.numbers([1])), (0, 0, vec![1]));
}

#[test]
fn any_capacity_and_any_time_will_do() {
    for (capacity, idle_timeout) in [(0, Duration::MAX), (usize::MAX, Duration::ZERO), (usize::MAX, Duration::MAX)] {
        let mut world = World::new(capacity, idle_timeout);
        assert_eq!(world.numbers([1]), [1]);
        world.now += 1_000_000 * SECOND;
        let expected = if idle_timeout.is_zero() { 2 } else { 1 };
        assert_eq!(world.numbers([1]), [expected]);
    }
}

#[test]
fn many_keys_need_no_more_memory_than_the_capacity() {
    let world = World::new(64, SECOND);
    for key in 0..20_000 {
        world.use_key(&key);
        assert!(world.kept() <= 64);
    }
}

use std::{
    cell::Cell,
    collections::HashMap,
    convert::Infallible,
    hash::Hasher,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{eviction::MIN_BACKOFFS, *};

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

/// One entry as the rules have it, kept by hand.
struct Plain {
    number: u64,
    last_use: u64,
    used_at: Instant,
    is_evicted: bool,
    users: Vec<Arc<()>>,
}

/// The rules of the table, without any of its mechanisms.
struct Model {
    entries: HashMap<u32, Plain>,
    uses: u64,
    made: u64,
    capacity: usize,
    idle_timeout: Duration,
}

impl Model {
    fn use_key(&mut self, key: u32, now: Instant, user: Arc<()>, hold: bool) -> u64 {
        self.tidy(now);
        self.uses += 1;
        let made = &mut self.made;
        let entry = self.entries.entry(key).or_insert_with(|| {
            *made += 1;
            Plain { number: *made, last_use: 0, used_at: now, is_evicted: false, users: Vec::new() }
        });
        (entry.last_use, entry.used_at, entry.is_evicted) = (self.uses, now, false);
        entry.users.extend(hold.then_some(user));
        let number = entry.number;
        self.tidy(now);
        number
    }

    fn tidy(&mut self, now: Instant) {
        let idle = |entry: &Plain, limit| now.duration_since(entry.used_at) >= limit;
        self.entries.values_mut().for_each(|entry| entry.is_evicted |= idle(entry, self.idle_timeout));
        while self.admitted() > self.capacity {
            let admitted = self.entries.values_mut().filter(|entry| !entry.is_evicted);
            admitted.min_by_key(|entry| entry.last_use).unwrap().is_evicted = true;
        }
        self.entries.retain(|_, entry| !entry.is_evicted || !entry.users.is_empty());
    }

    fn admitted(&self) -> usize {
        self.entries.values().filter(|entry| !entry.is_evicted).count()
    }
}

#[test]
fn the_table_agrees_with_a_plain_model() {
    for seed in 0..10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (capacity, idle_timeout) = (random.usize(1..16), SECOND * random.u32(1..100));
        let mut world = World::new(capacity, idle_timeout);
        let mut model = Model { entries: HashMap::new(), uses: 0, made: 0, capacity, idle_timeout };
        for step in 0..2_000 {
            let key = random.u32(0..24);
            match random.u32(0..20) {
                0 => {
                    let was_there = world.table.remove(&key);
                    assert_eq!(was_there, model.entries.remove(&key).is_some(), "seed {seed}, step {step}");
                }
                1..4 => world.now += SECOND * random.u32(0..10),
                4..7 => drop(model.entries.get_mut(&key).and_then(|entry| entry.users.pop())),
                _ => {
                    let (number, user) = world.use_key(&key);
                    let expected = model.use_key(key, world.now, user, random.u32(0..8) == 0);
                    assert_eq!(number, expected, "seed {seed}, step {step}");
                }
            }
            world.table.sweep(world.now);
            model.tidy(world.now);
            let (admitted, kept) = (usize::try_from(world.table.admitted()).unwrap(), world.kept());
            assert_eq!((admitted, kept), (model.admitted(), model.entries.len()), "seed {seed}, step {step}");
        }
    }
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

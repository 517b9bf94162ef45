//! What holds in every order of threads, checked with loom and shuttle; broken copies prove that the checkers would notice.

#![expect(clippy::unwrap_used, reason = "a model may panic: that is how it tells")]

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Mutex,
        atomic::{AtomicU64 as Plain, Ordering::SeqCst},
    },
};

use super::*;
use crate::keyed::bucket::is_in_use;
use crate::token::sync::model::{JoinHandle, check, thread};

/// In use while there are references to its `users`, as a layer is while a request has its settings.
struct Value {
    number: u64,
    /// What its `make` has read.
    secret: u64,
    users: Arc<()>,
}

impl Keep for Value {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.users) > 1
    }

    fn is_backing_off(&self, _now: Instant) -> bool {
        false
    }
}

/// The steps of the table that a broken copy replaces.
trait Mechanism: Default + Send + Sync + 'static {
    fn evict(&self, table: &Table<u32, Value>, entry: &Arc<Entry<u32, Value>>) {
        table.retire(entry, time::instant());
    }

    fn insert(&self, table: &Table<u32, Value>, making: &Arc<Making>, key: u32, value: Value) {
        table.insert(making, key, value, time::instant());
    }
}

#[derive(Default)]
struct Sound;

impl Mechanism for Sound {}

/// Whether an entry is in use is looked up, and it is dropped without having been evicted before.
#[derive(Default)]
struct DropsInOneStep;

impl Mechanism for DropsInOneStep {
    fn evict(&self, table: &Table<u32, Value>, entry: &Arc<Entry<u32, Value>>) {
        table.change(entry.hash, |bucket| (!is_in_use(entry)).then(|| bucket.without(entry)));
    }
}

/// An entry that was evicted is dropped without a second look at who uses it.
#[derive(Default)]
struct DropsWhatIsInUse;

impl Mechanism for DropsWhatIsInUse {
    fn evict(&self, table: &Table<u32, Value>, entry: &Arc<Entry<u32, Value>>) {
        let unused = !is_in_use(entry);
        table.change(entry.hash, |bucket| unused.then(|| bucket.with_evicted(entry, true)));
        table.change(entry.hash, |bucket| unused.then(|| bucket.without(entry)));
    }
}

/// A removal while an entry is being made is not noticed.
#[derive(Default)]
struct ForgetsRemovals;

impl Mechanism for ForgetsRemovals {
    fn insert(&self, table: &Table<u32, Value>, making: &Arc<Making>, key: u32, value: Value) {
        let late = MakingGuard::begin(table, making.hash);
        table.insert(&late.making, key, value, time::instant());
    }
}

/// Whether there is an entry is looked up, and another is added in a second step.
#[derive(Default)]
struct AddsInASecondStep;

impl Mechanism for AddsInASecondStep {
    fn insert(&self, table: &Table<u32, Value>, making: &Arc<Making>, key: u32, value: Value) {
        let hash = making.hash;
        let used_at = AtomicU64::new(0);
        let entry = Arc::new(Entry { hash, key, value, last_use: AtomicU64::new(1), used_at });
        let is_there =
            table.look(hash, time::instant()).as_deref().is_some_and(|bucket| bucket.find(hash, &key).is_some());
        if !is_there && table.change(hash, |bucket| Some(bucket.with(&entry))) {
            table.admit(time::instant());
        }
    }
}

/// A table, the threads that use it, and who uses which value. Nothing but the table is part of the model.
struct World<M> {
    table: Table<u32, Value>,
    mechanism: M,
    made: Plain,
    /// Part of the model, as a removal follows its change.
    secret: AtomicU64,
    in_use: Mutex<HashMap<u32, Arc<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<M: Mechanism> World<M> {
    fn new(capacity: usize) -> Arc<Self> {
        let table = Table::new(capacity, Duration::from_secs(3_600), time::instant());
        table.next_sweep.store(u64::MAX, Relaxed);
        let (mechanism, made, secret) = (M::default(), Plain::new(0), AtomicU64::new(1));
        Arc::new(Self { table, mechanism, made, secret, in_use: Mutex::default(), threads: Mutex::default() })
    }

    fn thread(self: &Arc<Self>, act: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let world = Arc::clone(self);
        self.threads.lock().unwrap().push(thread::spawn(move || act(&world)));
    }

    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    fn value(&self) -> Value {
        let number = self.made.fetch_add(1, SeqCst) + 1;
        Value { number, secret: self.secret.load(SeqCst), users: Arc::default() }
    }

    /// Uses a key from now on; the number of its value.
    fn use_key(&self, key: u32) -> u64 {
        let (hash, now) = (self.table.hash(&key), time::instant());
        let bucket = self.table.look(hash, now);
        if let Some(value) = self.table.find(&bucket, hash, &key, now) {
            return self.begin_use(key, value);
        }
        drop(bucket);
        let entry = self.table.find_or_make(&key, || Ok::<_, Infallible>(self.value())).unwrap();
        self.begin_use(key, &entry.value)
    }

    fn begin_use(&self, key: u32, value: &Value) -> u64 {
        let mut in_use = self.in_use.lock().unwrap();
        let used = in_use.entry(key).or_insert_with(|| Arc::clone(&value.users));
        assert!(Arc::ptr_eq(used, &value.users), "two values of one key are in use");
        value.number
    }

    fn make(&self, key: u32) {
        let making = MakingGuard::begin(&self.table, self.table.hash(&key));
        self.mechanism.insert(&self.table, &making.making, key, self.value());
    }

    fn entry(&self, key: u32) -> Arc<Entry<u32, Value>> {
        let bucket = self.table.look(self.table.hash(&key), time::instant());
        Arc::clone(&bucket.as_deref().unwrap().find(self.table.hash(&key), &key).unwrap().entry)
    }

    fn check_the_count(&self) {
        let seen = self.table.see(time::instant());
        let admitted = seen.admitted.len() as u64;
        assert_eq!((self.table.admitted(), self.table.capacity()), (admitted, 1), "the count is wrong");
    }
}

fn two_callers_make_one_entry<M: Mechanism>() {
    let world = World::<M>::new(4);
    let make = |world: &Arc<World<M>>| {
        world.make(0);
        world.use_key(0);
    };
    world.thread(make);
    make(&world);
    world.join();
    assert_eq!(world.table.admitted(), 1, "two entries of one key");
}

fn an_eviction_meets_a_use<M: Mechanism>() {
    let world = World::<M>::new(4);
    world.table.find_or_make(&0, || Ok::<_, Infallible>(world.value())).unwrap();
    let entry = world.entry(0);
    world.thread(move |world| {
        world.mechanism.evict(&world.table, &entry);
        drop(entry);
        world.use_key(0);
    });
    world.use_key(0);
    world.join();
}

fn an_insertion_meets_an_eviction_and_a_use<M: Mechanism>() {
    let world = World::<M>::new(1);
    world.table.find_or_make(&0, || Ok::<_, Infallible>(world.value())).unwrap();
    world.thread(|world| _ = world.use_key(1));
    world.use_key(0);
    world.join();
    world.use_key(0);
    world.check_the_count();
}

fn a_removal_meets_an_insertion<M: Mechanism>() {
    let world = World::<M>::new(4);
    world.thread(|world| world.make(0));
    world.secret.store(2, SeqCst);
    world.table.remove(&0);
    world.join();
    let entry = world.table.find_or_make(&0, || Ok::<_, Infallible>(world.value())).unwrap();
    assert_eq!(entry.value.secret, 2, "what was made before a removal is used after it");
}

fn a_removal_meets_an_eviction<M: Mechanism>() {
    let world = World::<M>::new(1);
    world.table.find_or_make(&0, || Ok::<_, Infallible>(world.value())).unwrap();
    world.thread(|world| _ = world.table.remove(&0));
    world.use_key(1);
    world.join();
    world.check_the_count();
    assert_eq!(world.use_key(1), world.use_key(1));
}

#[test]
fn two_callers_of_a_new_key_use_one_entry() {
    check(two_callers_make_one_entry::<Sound>);
}

#[test]
fn a_key_never_has_two_entries_in_use() {
    check(an_eviction_meets_a_use::<Sound>);
    check(an_insertion_meets_an_eviction_and_a_use::<Sound>);
}

#[test]
fn what_was_made_before_a_removal_is_not_used_after_it() {
    check(a_removal_meets_an_insertion::<Sound>);
}

#[test]
fn a_removal_and_an_eviction_count_an_entry_once() {
    check(a_removal_meets_an_eviction::<Sound>);
}

#[test]
#[should_panic(expected = "two values of one key are in use")]
fn an_entry_dropped_in_one_step_is_found_out() {
    check(an_eviction_meets_a_use::<DropsInOneStep>);
}

#[test]
#[should_panic(expected = "two values of one key are in use")]
fn an_entry_dropped_while_it_is_in_use_is_found_out() {
    check(an_eviction_meets_a_use::<DropsWhatIsInUse>);
}

#[test]
#[should_panic(expected = "two entries of one key")]
fn an_entry_added_in_a_second_step_is_found_out() {
    check(two_callers_make_one_entry::<AddsInASecondStep>);
}

#[test]
#[should_panic(expected = "what was made before a removal is used after it")]
fn a_removal_that_is_forgotten_is_found_out() {
    check(a_removal_meets_an_insertion::<ForgetsRemovals>);
}

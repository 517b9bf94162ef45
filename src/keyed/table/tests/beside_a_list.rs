//! The table does what a plain list would do.

use std::collections::HashMap;

use super::*;

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

//! Copies of one value, so that threads do not count their references to it on one cache line.

use std::{
    iter,
    num::NonZero,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// One copy for each thread that can run at the same time. What a copy counts has to lie on a cache line of its own.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    first: T,
    rest: Box<[T]>,
}

impl<T> Lanes<T> {
    pub(crate) fn new(mut copy: impl FnMut() -> T) -> Self {
        Self { first: copy(), rest: iter::repeat_with(copy).take(*COUNT - 1).collect() }
    }

    /// The copy of the thread that asks, always the same one.
    #[inline]
    pub(crate) fn mine(&self) -> &T {
        let lane = LANE.with(|lane| lane & self.rest.len());
        self.rest.get(lane.wrapping_sub(1)).unwrap_or(&self.first)
    }
}

/// A power of two, so that the last lane's number is a mask. To find it out reads files, some 50 µs.
static COUNT: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get).next_power_of_two().min(MOST));

thread_local! {
    static LANE: usize = NEXT.fetch_add(1, Relaxed);
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Beyond this many, the memory for the copies counts for more than that some threads share one.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_thread_keeps_its_copy_and_others_get_theirs() {
        let mut number = 0..;
        let lanes = Lanes::new(|| number.next());
        let mine = lanes.mine();
        assert_eq!(lanes.mine(), mine);
        let of_another = || thread::scope(|threads| *threads.spawn(|| lanes.mine()).join().unwrap());
        let all: BTreeSet<_> = iter::repeat_with(of_another).take(4 * *COUNT).collect();
        // Other tests may start threads too, and so take a number in between.
        assert!(all.len() > *COUNT / 2, "{all:?}");
        assert_eq!(lanes.rest.len() + 1, *COUNT);
    }
}

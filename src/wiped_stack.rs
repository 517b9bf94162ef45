//! Computations that leave none of their secrets on the stack.

use std::hint::black_box;

/// Runs the computation, and overwrites what it has left below this frame: crates wipe what they drop, but not what they
/// moved before.
pub(crate) fn with_wiped_stack<T>(compute: impl FnOnce() -> T) -> T {
    let result = call(compute);
    wipe();
    result
}

/// Never inlined, so that all that it leaves is where [`wipe`] writes.
#[inline(never)]
fn call<T>(compute: impl FnOnce() -> T) -> T {
    compute()
}

#[inline(never)]
fn wipe() {
    black_box(&mut [0_u8; STACK]);
}

/// More than a hash of this crate takes, in bytes.
const STACK: usize = 8 * 1024;

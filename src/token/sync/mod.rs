//! What the token's state is shared with between threads: the real thing, or a model checker's.
//!
//! Under `--cfg auth_model` this crate's own unit tests get locks, atomics and tasks of loom or shuttle, which try in what
//! orders threads may come to them. Nothing else ever sees those.

#[cfg(all(test, auth_model))]
pub(crate) mod model;

#[cfg(all(test, auth_model))]
pub(crate) use self::model::{AtomicBool, AtomicU64, Guard, Mutex, MutexGuard, Swap, replace, spawn};
#[cfg(not(all(test, auth_model)))]
pub(crate) use self::real::*;

#[cfg(not(all(test, auth_model)))]
mod real {
    use std::sync::Arc;
    pub(crate) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64},
    };

    use tokio::runtime::Handle;

    pub(crate) type Swap<T> = arc_swap::ArcSwapOption<T>;
    pub(crate) type Guard<T> = arc_swap::Guard<Option<Arc<T>>>;

    /// Puts a value in the place of what was loaded, unless something else is there by now; says whether it did.
    pub(crate) fn replace<T>(swap: &Swap<T>, loaded: &Guard<T>, value: T) -> bool {
        let found = swap.compare_and_swap(loaded, Some(Arc::new(value)));
        found.as_ref().map(Arc::as_ptr) == loaded.as_ref().map(Arc::as_ptr)
    }

    /// Runs a future as a separate task, which is not awaited.
    pub(crate) fn spawn(runtime: &Handle, future: impl Future<Output = ()> + Send + 'static) {
        drop(runtime.spawn(future));
    }
}

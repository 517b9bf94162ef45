//! What the token's state is shared with between threads: the real thing, or a model checker's.
//!
//! Under `--cfg auth_model` this crate's own unit tests get locks, atomics and tasks of loom or shuttle, which try in what
//! orders threads may come to them. Nothing else ever sees those.

#[cfg(all(test, auth_model))]
pub(super) mod model;

#[cfg(all(test, auth_model))]
pub(super) use self::model::{AtomicBool, AtomicU64, Guard, Mutex, MutexGuard, Swap, spawn};
#[cfg(not(all(test, auth_model)))]
pub(super) use self::real::*;

#[cfg(not(all(test, auth_model)))]
mod real {
    pub(crate) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64},
    };

    use tokio::runtime::Handle;

    pub(crate) type Swap<T> = arc_swap::ArcSwapOption<T>;
    pub(crate) type Guard<T> = arc_swap::Guard<Option<std::sync::Arc<T>>>;

    /// Runs a future as a task of its own, which nobody waits for.
    pub(crate) fn spawn(runtime: &Handle, future: impl Future<Output = ()> + Send + 'static) {
        drop(runtime.spawn(future));
    }
}

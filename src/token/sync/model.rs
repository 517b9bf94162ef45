//! The model checkers' side: what stands in for locks, atomics, `ArcSwap` and tokio's tasks.

#![expect(clippy::unwrap_used, reason = "a model may panic: that is how it tells")]

use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};

use tokio::runtime::{Builder, Handle};

#[cfg(auth_model = "loom")]
pub(crate) use loom::{
    future::block_on,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64},
    },
    thread::{self, JoinHandle},
};
#[cfg(not(auth_model = "loom"))]
pub(crate) use shuttle::{
    future::block_on,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64},
    },
    thread::{self, JoinHandle},
};

/// A mutex in the place of `ArcSwapOption`, into which neither checker can look.
///
/// A load and a store are one step each here. So the model does not see the inside of `ArcSwap`, and not what a thread
/// could read that is late to notice a store: the mutex orders more than `ArcSwap` does.
#[derive(Debug)]
pub(crate) struct Swap<T>(Mutex<Option<Arc<T>>>);

#[derive(Debug)]
pub(crate) struct Guard<T>(Option<Arc<T>>);

impl<T> Swap<T> {
    pub(crate) fn load(&self) -> Guard<T> {
        Guard(self.load_full())
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn store(&self, value: Option<Arc<T>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

/// Puts a value in the place of what was loaded, in one step, unless something else is there by now.
pub(crate) fn replace<T>(swap: &Swap<T>, loaded: &Guard<T>, value: T) -> bool {
    let address = |value: &Option<Arc<T>>| value.as_ref().map(Arc::as_ptr);
    let mut current = swap.0.lock().unwrap_or_else(PoisonError::into_inner);
    let is_the_same = address(&current) == address(loaded);
    let replaced = is_the_same.then(|| current.replace(Arc::new(value)));
    drop(current);
    replaced.is_some()
}

impl<T> Default for Swap<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Deref for Guard<T> {
    type Target = Option<Arc<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

thread_local! {
    static DYING: Cell<bool> = const { Cell::new(false) };
    static TASKS: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// Ends the task that calls this as soon as it rests: its future is dropped, as a runtime that ends would.
///
/// A panic ends a task through the same drop; the unwinding itself is not in the model.
pub(crate) fn die() {
    DYING.set(true);
}

/// Runs a future as a task of its own.
pub(crate) fn spawn(_runtime: &Handle, future: impl Future<Output = ()> + Send + 'static) {
    let future = Mortal(Some(Box::pin(future)));
    #[cfg(auth_model = "loom")]
    let task = thread::spawn(|| block_on(future));
    #[cfg(not(auth_model = "loom"))]
    let task = shuttle::future::spawn(future);
    TASKS.with_borrow_mut(|tasks| tasks.push(task));
}

/// Waits for all tasks of so far.
pub(crate) fn join_tasks() {
    let next = || TASKS.with_borrow_mut(Vec::pop);
    while let Some(task) = next() {
        #[cfg(auth_model = "loom")]
        task.join().unwrap();
        #[cfg(not(auth_model = "loom"))]
        block_on(task).unwrap();
    }
}

#[cfg(auth_model = "loom")]
type Task = JoinHandle<()>;
#[cfg(not(auth_model = "loom"))]
type Task = shuttle::future::JoinHandle<()>;

struct Mortal(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Mortal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(future) = &mut self.0
            && future.as_mut().poll(cx).is_pending()
            && !DYING.take()
        {
            return Poll::Pending;
        }
        self.0 = None;
        Poll::Ready(())
    }
}

/// Tries the scenario in every order of its threads' steps, as far as a few forced switches lead.
///
/// Time stands still, and no timer ever fires.
#[cfg(auth_model = "loom")]
pub(crate) fn check(scenario: impl Fn() + Send + Sync + 'static) {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    in_a_stopped_runtime(|| {
        builder.check(move || {
            count.fetch_add(1, Relaxed);
            scenario();
        });
    });
    println!("{} orders", tried.load(Relaxed));
}

/// Tries the scenario in random orders of its threads' steps.
///
/// Time stands still, and no timer ever fires.
#[cfg(not(auth_model = "loom"))]
pub(crate) fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("AUTH_SCHEDULES").ok().and_then(|number| number.parse().ok());
    in_a_stopped_runtime(|| shuttle::check_random(scenario, schedules.unwrap_or(SCHEDULES)));
}

/// What is checked runs beside this runtime, not in it: it only answers to those who ask for a handle or a clock.
fn in_a_stopped_runtime(check: impl FnOnce()) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    check();
}

#[cfg(auth_model = "loom")]
const PREEMPTIONS: usize = 2;
#[cfg(not(auth_model = "loom"))]
const SCHEDULES: usize = 100_000;

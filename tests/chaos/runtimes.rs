//! Callers on short-lived runtimes, which are shut down in the middle of whatever they do.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    runtime::{Builder, Id, Runtime},
    sync::watch,
};

use crate::{caller::Caller, world::Subject};

/// One runtime with a caller of each layer.
pub(crate) struct ShortLived {
    runtime: Option<Runtime>,
}

impl ShortLived {
    pub(crate) fn start(
        subjects: &[Arc<Subject>],
        elsewhere: &Arc<str>,
        over: &watch::Receiver<bool>,
        mut seed: u64,
    ) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        for (index, subject) in subjects.iter().enumerate() {
            seed = seed.wrapping_add(1);
            runtime.spawn(Caller::new(subject, index % 2 == 1, elsewhere, seed).live(over.clone()));
        }
        Ok(Self { runtime: Some(runtime) })
    }
}

impl Drop for ShortLived {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            ENDED.lock().unwrap_or_else(PoisonError::into_inner).push(runtime.handle().id());
            runtime.shutdown_background();
        }
    }
}

/// Whether a runtime has been shut down, or is about to be.
pub(crate) fn has_ended(runtime: Id) -> bool {
    ENDED.lock().unwrap_or_else(PoisonError::into_inner).contains(&runtime)
}

static ENDED: Mutex<Vec<Id>> = Mutex::new(Vec::new());

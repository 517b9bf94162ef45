//! Callers on runtimes of their own, which are shut down in the middle of whatever they do.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    runtime::{Builder, Id, Runtime},
    sync::watch,
};

use crate::{caller::Caller, world::Login};

/// One runtime with a caller of each layer.
pub(crate) struct Mortal {
    runtime: Option<Runtime>,
}

impl Mortal {
    pub(crate) fn start(
        logins: &[Arc<Login>],
        elsewhere: &Arc<str>,
        over: &watch::Receiver<bool>,
        mut seed: u64,
    ) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        for (index, login) in logins.iter().enumerate() {
            seed = seed.wrapping_add(1);
            runtime.spawn(Caller::new(login, index % 2 == 1, elsewhere, seed).live(over.clone()));
        }
        Ok(Self { runtime: Some(runtime) })
    }
}

impl Drop for Mortal {
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

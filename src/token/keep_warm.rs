//! A task that keeps a token at hand where no traffic does.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, task::AbortHandle};

use crate::{clock, telemetry, token::Refresher};

/// Keeps the token of a layer warm until it is dropped; see [`TokenHandle::keep_warm`](crate::TokenHandle::keep_warm).
#[derive(Debug)]
#[must_use = "the token is kept warm only until this is dropped"]
pub struct KeepWarm {
    task: Option<AbortHandle>,
}

impl KeepWarm {
    pub(crate) fn start(refresher: &Arc<Refresher>) -> Self {
        let Ok(runtime) = Handle::try_current() else {
            telemetry::not_kept_warm();
            return Self { task: None };
        };
        Self { task: Some(runtime.spawn(watch(Arc::clone(refresher))).abort_handle()) }
    }
}

impl Drop for KeepWarm {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn watch(refresher: Arc<Refresher>) {
    loop {
        let changed = refresher.changed.notified();
        let started = refresher.tend();
        // Nobody notifies of a rotation: it takes a glance now and then.
        let rest = refresher.rest().unwrap_or(GLANCE).min(GLANCE);
        clock::within(rest, changed).await;
        // A token that is dead on arrival must not be asked for again and again.
        if started && let Some(breath) = clock::sleep(BREATH) {
            breath.await;
        }
    }
}

const BREATH: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_secs(30);

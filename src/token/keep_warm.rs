//! A task that keeps a fresh token where no traffic does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};

use crate::{
    telemetry,
    time::{self, Moment},
    token::fetcher::Fetcher,
};

/// Guard that keeps the token of a layer fresh until it is dropped.
///
/// Returned by [`TokenHandle::keep_warm`](crate::token::TokenHandle::keep_warm).
#[derive(Debug)]
#[must_use = "the token is kept fresh only until this is dropped"]
pub struct KeepWarm {
    task: Option<AbortHandle>,
}

impl KeepWarm {
    pub(super) fn start(fetcher: &Arc<Fetcher>) -> Self {
        let Ok(runtime) = Handle::try_current() else {
            telemetry::not_kept_warm("outside of a tokio runtime");
            return Self { task: None };
        };
        Self { task: Some(runtime.spawn(keep_warm(Arc::clone(fetcher))).abort_handle()) }
    }
}

impl Drop for KeepWarm {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn keep_warm(fetcher: Arc<Fetcher>) {
    loop {
        let changed = fetcher.changed.notified();
        // The source's `generation` may panic. The next look may go well.
        let _ = catch_unwind(AssertUnwindSafe(|| fetcher.keep_warm()));
        let due = fetcher.cache.fetch_due_in(Moment::now()).unwrap_or(ROTATION_POLL_INTERVAL);
        // At least a moment, so that nothing can make it spin.
        if time::within(due.clamp(MIN_PAUSE, ROTATION_POLL_INTERVAL), changed).await.is_err() {
            return telemetry::not_kept_warm("in a tokio runtime without timers");
        }
    }
}

/// How often it looks whether the secret was rotated, which nothing tells it.
const ROTATION_POLL_INTERVAL: Duration = Duration::from_secs(30);
const MIN_PAUSE: Duration = Duration::from_millis(10);

//! Log lines, kept for a pane of the view: lines on the terminal itself would wreck it.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{EnvFilter, fmt::time::uptime};

/// The last lines.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<VecDeque<String>>>);

impl Logs {
    /// Has events written here. `RUST_LOG` chooses other ones, such as `warn`.
    pub(crate) fn install() -> Self {
        let (logs, filter) = (Self::default(), EnvFilter::try_from_default_env());
        let filter = filter.unwrap_or_else(|_| EnvFilter::new("warn,tower_outbound_auth=debug"));
        let writer = logs.clone();
        let format = tracing_subscriber::fmt().compact().with_ansi(false).with_target(false).with_timer(uptime());
        format.with_env_filter(filter).with_writer(move || writer.clone()).init();
        logs
    }

    pub(crate) fn last(&self, lines: usize) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().skip(kept.len().saturating_sub(lines)).cloned().collect()
    }
}

/// An event is written at once.
impl Write for Logs {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(String::from_utf8_lossy(event).lines().map(str::to_owned));
        let superfluous = kept.len().saturating_sub(KEPT);
        kept.drain(..superfluous);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const KEPT: usize = 200;

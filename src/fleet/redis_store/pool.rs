//! Connections between two commands, for some seconds.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::runtime::{Handle, Id};

use super::{address::Server, link::Link};
use crate::time::{self, Instant};

/// Idle connections.
///
/// They are kept for as long as a fetch takes from one step to the next, and no longer: before the next fetch, minutes or hours
/// later, something on the way would have dropped them without a word.
#[derive(Clone, Default)]
pub(super) struct Pool {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    /// When the task that closes connections will have run.
    closes_at: Option<Instant>,
}

struct Idle {
    link: Link,
    server: Server,
    /// A connection dies with the runtime that opened it.
    runtime: Option<Id>,
    since: Instant,
}

impl Pool {
    pub(super) fn take(&self, server: &Server) -> Option<Link> {
        let runtime = runtime();
        let mut state = self.state();
        state.close_old(time::instant());
        let at = state.idle.iter().position(|idle| idle.server == *server && idle.runtime == runtime)?;
        Some(state.idle.swap_remove(at).link)
    }

    pub(super) fn put(&self, server: &Server, link: Link) {
        let now = time::instant();
        let mut state = self.state();
        state.close_old(now);
        if state.idle.len() < MAX_IDLE {
            state.idle.push(Idle { link, server: server.clone(), runtime: runtime(), since: now });
        }
        // A task of a runtime that has ended never ran.
        if state.closes_at.is_none_or(|at| time::after(at, KEPT_FOR) < now) {
            state.closes_at = Some(time::after(now, KEPT_FOR));
            drop(state);
            self.close_later();
        }
    }

    /// Closes what is idle, in a task that ends with the last connection.
    fn close_later(&self) {
        let state = Arc::downgrade(&self.state);
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            loop {
                if let Some(sleep) = time::sleep(KEPT_FOR) {
                    sleep.await;
                }
                let Some(state) = state.upgrade() else {
                    return;
                };
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let now = time::instant();
                state.close_old(now);
                state.closes_at = (!state.idle.is_empty()).then(|| time::after(now, KEPT_FOR));
                if state.closes_at.is_none() {
                    return;
                }
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_old(&mut self, now: Instant) {
        self.idle.retain(|idle| now < time::after(idle.since, KEPT_FOR));
    }
}

fn runtime() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

const KEPT_FOR: Duration = Duration::from_secs(5);
const MAX_IDLE: usize = 8;

//! A process of its own, since its connections take most of the files that a process may have open: whether a connection
//! is cut off, held up or swallowed at any byte, no call hangs, none ends without an error that says so, and no credential
//! is sent once more than was promised.
//!
//! `CUT_STEP=1` takes every byte, as `tests/all.sh` does; without it they take every fifth.
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]
#![expect(clippy::disallowed_methods, reason = "real sockets need real time, and a limit for a test that hangs")]

mod calls_are_cut_off;
mod connections_stall;
mod proxy;
mod replays_are_cut_off;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod tls_connections_are_cut_off;
mod token_requests_are_cut_off;
mod user;

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tower_outbound_auth::BoxError;

type TestResult = Result<(), BoxError>;

/// Runs each case as a task, some at a time, and fails with the first that fails or hangs.
async fn each<C, F>(cases: impl IntoIterator<Item = C>, run: impl Fn(C) -> F) -> TestResult
where
    C: Clone + Debug,
    F: Future<Output = TestResult> + Send + 'static,
{
    let (places, mut tasks) = (Arc::new(Semaphore::new(AT_A_TIME)), JoinSet::new());
    for case in cases {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (name, run) = (format!("{case:?}"), run(case));
        tasks.spawn(async move {
            let _place = place;
            match timeout(A_HANG, run).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(format!("{name}: {error}")),
                Err(_) => Err(format!("{name}: hangs")),
            }
        });
        while let Some(end) = tasks.try_join_next() {
            end??;
        }
    }
    while let Some(end) = tasks.join_next().await {
        end??;
    }
    Ok(())
}

/// An error in place of a panic, which would not name its case.
fn check(holds: bool, what: impl Debug) -> TestResult {
    if holds { Ok(()) } else { Err(format!("{what:?}").into()) }
}

/// How far apart the bytes are at which a connection is cut off.
fn step() -> usize {
    std::env::var("CUT_STEP").map_or(5, |step| step.parse().unwrap())
}

/// So that a test gets by with the usual 1,024 open files.
const AT_A_TIME: usize = 64;
/// Every bound in these tests is far below.
const A_HANG: Duration = Duration::from_secs(20);

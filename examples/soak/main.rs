//! Demonstration: does the layer give back all tasks, sockets and memory after hours of faults?
//!
//! ```text
//! cargo run --release --example soak --features sandbox              # 20 s
//! cargo run --release --example soak --features sandbox -- 1800      # half an hour
//! ```
//!
//! Callers use HTTP/1.1 and HTTP/2 over real sockets, with tokens of 2 s, a revocation every 3 s, faults all the time, calls
//! that are dropped at a random moment, and layers and clients that come and go. All this happens in rounds. After each
//! round the callers and the server end; two layers live through the whole run. The process should then be where it was
//! after the round before, so that one task or socket too many shows. See [`ledger`] for the criterion.
//!
//! The figures come from `/proc`, so this runs on Linux only.
#![expect(clippy::disallowed_methods, reason = "a soak runs in real time")]

mod callers;
mod figures;
mod ledger;
mod round;
mod server;
mod totals;

use std::{
    alloc::System,
    env,
    time::{Duration, Instant},
};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;
use tower_outbound_auth::BoxError;

use crate::{callers::Residents, ledger::Ledger, totals::Totals};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let seconds = env::args().nth(1).map_or(Ok(20), |argument| argument.parse())?;
    let end = Instant::now() + Duration::from_secs(seconds);
    // About five rounds in 20 s, and sixty in half an hour.
    let length = Duration::from_secs((seconds / 10).clamp(4, 30));

    let (mut ledger, mut totals) = (Ledger::new(), Totals::default());
    let residents = Residents::new()?;
    while Instant::now() < end {
        round::run(length, &residents, &mut ledger, &mut totals).await?;
        rest().await;
        ledger.at_rest(figures::measure()?);
        totals.rounds += 1;
    }

    println!("{totals}\n\n{ledger}");
    totals.check()?;
    if ledger.is_flat() { Ok(()) } else { Err("a figure grows: see GROWS above".into()) }
}

/// Waits until no task is alive: callers have ended, and so have the last token fetches.
async fn rest() {
    let runtime = Handle::current().metrics();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if runtime.num_alive_tasks() == 0 {
            return;
        }
    }
}

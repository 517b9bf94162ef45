//! Hours of trouble in a row: does the layer keep anything that it should have given back?
//!
//! ```text
//! cargo run --release --features sandbox --example soak              # 20 s
//! cargo run --release --features sandbox --example soak -- 1800      # half an hour
//! ```
//!
//! Callers over HTTP/1.1 and HTTP/2 call a sandbox over real sockets, with tokens of 2 s, a revocation every 3 s, faults
//! all along, calls that are dropped at a random moment, and layers and clients that come and go. This takes place in
//! rounds. After each of them everybody leaves and the server ends, with all the tokens that it remembers; what stays
//! are two layers, which live through the whole run. Then the process should be back where it was after the last round,
//! so that one task or socket too many is seen, however much went on in between. See [`ledger`] for the criterion.
//!
//! The figures come from `/proc`, so this runs on Linux alone.
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
    process::ExitCode,
    time::{Duration, Instant},
};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;
use tower_outbound_auth::BoxError;

use crate::{callers::Residents, ledger::Ledger, totals::Totals};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let seconds = env::args().nth(1).map_or(Ok(20), |argument| argument.parse())?;
    let end = Instant::now() + Duration::from_secs(seconds);
    // Some five rounds in 20 s, and sixty in half an hour.
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
    if ledger.is_flat() { Ok(()) } else { Err("something grows".into()) }
}

/// Waits until no task is alive: those who have left are gone, and the last flights have landed or given up.
async fn rest() {
    let runtime = Handle::current().metrics();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if runtime.num_alive_tasks() == 0 {
            return;
        }
    }
}

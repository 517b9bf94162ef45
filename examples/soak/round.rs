//! One round: a server, its callers, and trouble.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};
use tower_outbound_auth::BoxError;

use crate::{
    callers::{Residents, pass_by, stay},
    figures,
    ledger::Ledger,
    server::any_fault,
    totals::Totals,
};

pub(crate) async fn run(
    length: Duration,
    residents: &Residents,
    ledger: &mut Ledger,
    totals: &mut Totals,
) -> Result<(), BoxError> {
    let sandbox = residents.way.start_server(totals.rounds).await?;
    let _warm = residents.keep_warm();
    let mut callers = JoinSet::new();
    for client in residents.clients() {
        for _ in 0..CALLERS {
            callers.spawn(stay(client.clone(), Arc::clone(&totals.calls)));
        }
    }
    for tick in 1..=length.as_millis() / TICK.as_millis() {
        sleep(TICK).await;
        sandbox.inject(any_fault());
        totals.faults += 1;
        if tick % 30 == 15 {
            sandbox.revoke_tokens();
            totals.revocations += 1;
        }
        let way = residents.way.clone();
        callers.spawn(pass_by(way, sandbox.environment(), sandbox.credentials(), Arc::clone(&totals.calls)));
        totals.layers += 1;
        if tick % 10 == 0 {
            ledger.under_load(figures::measure()?);
        }
        while let Some(end) = callers.try_join_next() {
            end??;
        }
    }
    // Everybody who is still here is dropped in the middle of what they do.
    callers.shutdown().await;
    totals.add_server(sandbox.stats());
    Ok(())
}

const TICK: Duration = Duration::from_millis(100);
/// With each of the four clients.
const CALLERS: u32 = 8;

//! One round: a server, its callers, and faults.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};
use tower_outbound_auth::BoxError;

use crate::{
    callers::{Residents, stay, visit},
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
    let sandbox = residents.route.start_server(totals.rounds).await?;
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
        let route = residents.route.clone();
        callers.spawn(visit(route, sandbox.environment(), sandbox.credentials(), Arc::clone(&totals.calls)));
        totals.layers += 1;
        if tick % 10 == 0 {
            ledger.under_load(figures::measure()?);
        }
        while let Some(end) = callers.try_join_next() {
            end??;
        }
    }
    // All callers are dropped in the middle of a call.
    callers.shutdown().await;
    totals.add_server(sandbox.stats());
    Ok(())
}

const TICK: Duration = Duration::from_millis(100);
/// For each of the four clients.
const CALLERS: u32 = 8;

//! Many callers without a token: the time until the last has its response, and the number of token requests.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Builder, task::JoinSet, time::timeout};
use tower::ServiceExt;
use tower_outbound_auth::BoxError;

use crate::{
    api::request,
    peers::{Peer, Source, WITH_A_COLD_START},
    support::{Report, median},
    world::World,
};

/// Runs ten thousand callers with a source that works.
pub(crate) fn run(report: &mut Report) -> Result<(), BoxError> {
    let mut herds = WITH_A_COLD_START.map(|peer| (peer, Vec::new()));
    for _ in 0..ROUNDS {
        for (peer, outcomes) in &mut herds {
            // Once is enough for a peer that does not serve all callers.
            if outcomes.iter().all(Outcome::is_complete) {
                outcomes.push(herd(*peer, CALLERS, true)?);
            }
        }
    }
    for (peer, outcomes) in &herds {
        write(report, "herd", peer.name, outcomes);
    }
    for source in [Source::InProcess, Source::Loopback] {
        let (ours, peers): (Vec<_>, Vec<_>) = herds
            .iter()
            .filter(|(peer, _)| peer.source == source && peer.name != "prototype")
            .partition(|(peer, _)| peer.name.starts_with("this crate"));
        if let Some((best, its)) = peers.iter().min_by(|(_, one), (_, other)| wall(one).total_cmp(&wall(other))) {
            for (peer, outcomes) in ours {
                let ratios = outcomes.iter().zip(its).map(|(ours, its)| ours.milliseconds / its.milliseconds);
                report.row("herd", format!("{} ÷ {}; the best", peer.name, best.name), [("ratio", median(ratios))]);
            }
        }
    }
    Ok(())
}

/// Runs a hundred callers with a source that fails. They need hardly any processor time, so all peers run at once.
pub(crate) fn failing(report: &mut Report) -> Result<(), BoxError> {
    let threads =
        WITH_A_COLD_START.map(|peer| thread::spawn(move || herd(peer, 100, false).map_err(|error| error.to_string())));
    for (peer, thread) in WITH_A_COLD_START.iter().zip(threads) {
        let outcome = thread.join().map_err(|_| format!("{} panicked", peer.name))??;
        write(report, "herd; source fails", peer.name, &[outcome]);
    }
    Ok(())
}

/// The result of one herd.
struct Outcome {
    milliseconds: f64,
    callers: usize,
    answered: usize,
    token_requests: u64,
}

impl Outcome {
    fn is_complete(&self) -> bool {
        self.answered == self.callers
    }
}

fn herd(peer: Peer, callers: usize, works: bool) -> Result<Outcome, BoxError> {
    let (world, runtime) = (World::new()?, Builder::new_current_thread().enable_all().build()?);
    let outcome = runtime.block_on(async {
        // For peers that fetch a token while they are built: one that expires at once.
        world.issuer.set_lifetime(1);
        let client = (peer.make)(&world).await?;
        world.issuer.set_lifetime(3600);
        if !works {
            world.issuer.go_down();
        }
        let (mut tasks, answered, end) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::new()));
        let requests: Vec<_> = (0..callers).map(|_| request()).collect();
        let (before, start) = (world.issuer.asked(), Instant::now());
        for request in requests {
            let (client, answered, end) = (client.clone(), Arc::clone(&answered), Arc::clone(&end));
            tasks.spawn(async move {
                let as_it_should = client.oneshot(request).await.is_ok() == works;
                if as_it_should && answered.fetch_add(1, Relaxed) + 1 == callers {
                    end.get_or_init(Instant::now);
                }
            });
        }
        let _ = timeout(PATIENCE, async { while tasks.join_next().await.is_some() {} }).await;
        let end = end.get().copied().unwrap_or_else(Instant::now);
        let (answered, token_requests) = (answered.load(Relaxed), world.issuer.asked() - before);
        Ok(Outcome { milliseconds: (end - start).as_secs_f64() * 1e3, callers, answered, token_requests })
    });
    runtime.shutdown_background();
    outcome
}

/// Infinite for a peer that does not serve all callers.
fn wall(outcomes: &[Outcome]) -> f64 {
    median(outcomes.iter().map(|outcome| if outcome.is_complete() { outcome.milliseconds } else { f64::INFINITY }))
}

#[expect(clippy::cast_precision_loss, reason = "counts")]
fn write(report: &mut Report, table: &str, name: &str, outcomes: &[Outcome]) {
    let of = |figure: fn(&Outcome) -> f64| median(outcomes.iter().map(figure));
    report.row(
        table,
        name,
        [
            ("ms", of(|outcome| outcome.milliseconds)),
            ("answered", of(|outcome| outcome.answered as f64)),
            ("token requests", of(|outcome| outcome.token_requests as f64)),
        ],
    );
}

const CALLERS: usize = 10_000;
const ROUNDS: u32 = 9;
/// How long callers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

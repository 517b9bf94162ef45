//! Many callers and no token: how long until the last has its answer, and how many token requests it took.

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

/// A source that works, and ten thousand callers.
pub(crate) fn run(report: &mut Report) -> Result<(), BoxError> {
    let mut herds = WITH_A_COLD_START.map(|peer| (peer, Vec::new()));
    for _ in 0..ROUNDS {
        for (peer, outcomes) in &mut herds {
            // Once is enough for who does not get through.
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

/// A source that fails, and a hundred callers. They hardly take time of the processor, so all peers have theirs at once.
pub(crate) fn failing(report: &mut Report) -> Result<(), BoxError> {
    let threads =
        WITH_A_COLD_START.map(|peer| thread::spawn(move || herd(peer, 100, false).map_err(|error| error.to_string())));
    for (peer, thread) in WITH_A_COLD_START.iter().zip(threads) {
        let outcome = thread.join().map_err(|_| format!("{} panicked", peer.name))??;
        write(report, "herd; source fails", peer.name, &[outcome]);
    }
    Ok(())
}

/// What came of one herd.
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
        // For those who fetch a token while they are built: one that does not last.
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

/// Without an end for who does not get through.
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
/// Who is not through by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

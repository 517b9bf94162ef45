//! Whatever happens to servers, secrets, connections, callers and runtimes at once, credentials go where they belong, no
//! call hangs, and all is well soon after the last of it.
//!
//! Four layers with 16 clients each, two of which sign assertions (feature `jwt`), over HTTP/1.1 and HTTP/2, call two sandboxes for `CHAOS_SECONDS` (3 by default), while
//! a disruptor makes trouble. `CHAOS_SEED` decides what the disruptor and the callers do, and in which order: set it to the number
//! that a run printed to have the same decisions again. When they take effect is up to sockets and threads, so a run is
//! not the same as the last with its seed.
//!
//! What is checked is listed by `tally::Check`. Each request is judged where it leaves its layer (`watch`), and each token
//! request by what explains it (`fetches`); neither depends on how busy the machine is.
#![expect(clippy::disallowed_methods, reason = "real sockets need real time")]
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]
#![expect(clippy::indexing_slicing, reason = "a number below the length is drawn")]

mod budget;
mod caller;
mod disruptor;
mod elsewhere;
mod fetches;
#[cfg(feature = "jwt")]
#[path = "../support/keys.rs"]
mod keys;
mod ledger;
mod runtimes;
mod tally;
mod watch;
mod world;

use std::{env, io::Write, str::FromStr, sync::Arc, time::Duration};

use caller::Caller;
use disruptor::Disruptor;
use elsewhere::Elsewhere;
use runtimes::ShortLived;
use tally::{Check, Row, Tally};
use tokio::{sync::watch::channel, task::JoinSet};
use tower_outbound_auth::{BoxError, sandbox::RejectionStyle};
use world::{Settings, Subject, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_holds_through_chaos_and_all_is_well_after_it() -> Result<(), BoxError> {
    let seed = setting("CHAOS_SEED", fastrand::u64(..));
    let seconds = setting("CHAOS_SECONDS", 3);
    // Past the capture of output, since a run that hangs should have told its seed too.
    writeln!(std::io::stderr(), "chaos: CHAOS_SEED={seed} CHAOS_SECONDS={seconds}")?;

    let tally = Arc::new(Tally::default());
    let elsewhere = Elsewhere::start().await?;
    let short = World::start(SHORT, RejectionStyle::Documented400, false).await?;
    let long = World::start(LONG, RejectionStyle::Unauthorized401, true).await?;
    let patient = Settings { name: "short", replays: true, max_wait: None, refill: Duration::from_secs(2) };
    let impatient = Settings { max_wait: Some(Duration::from_millis(300)), ..patient };
    let subjects = [
        Subject::new(&short, &tally, patient)?,
        Subject::new(&short, &tally, Settings { name: "short, sent once", replays: false, ..impatient })?,
        Subject::new(
            &long,
            &tally,
            Settings { name: "long, impatient", refill: Duration::from_secs(10), ..impatient },
        )?,
        Subject::new(&long, &tally, Settings { name: "long, sent once", replays: false, ..patient })?,
    ]
    .map(Arc::new);
    let worlds = [short, long];
    let _warm = subjects[2].handle().keep_warm();

    let mut disruptor = Disruptor::new(seed, &tally, &worlds, &subjects);
    let origin = Arc::from(elsewhere.origin.as_str());
    chaos(&mut disruptor, &subjects, &origin, seed, Duration::from_secs(seconds)).await?;
    disruptor.end().await;
    calm(&subjects, &origin, seed).await?;

    check_servers(&tally, &worlds, &elsewhere);
    println!("chaos of {seconds} s, seed {seed}\n{tally}");
    let missing: Vec<_> = HAPPENED.iter().filter(|(row, what)| tally.of(*row, what) == 0).collect();
    assert!(missing.is_empty(), "no chaos without {missing:?}; seed {seed}");
    let violations = tally.violations();
    assert!(violations.is_empty(), "seed {seed}:\n{}", violations.join("\n"));
    Ok(())
}

/// All clients call, and the disruptor does its worst; over when the last call has ended.
async fn chaos(
    disruptor: &mut Disruptor,
    subjects: &[Arc<Subject>],
    elsewhere: &Arc<str>,
    seed: u64,
    time: Duration,
) -> Result<(), BoxError> {
    let (end, over) = channel(false);
    let mut callers = JoinSet::new();
    for (index, subject) in clients(subjects).take(CLIENTS - SHORT_LIVED as usize * subjects.len()) {
        callers.spawn(Caller::new(subject, index % 2 == 0, elsewhere, seed ^ index).live(over.clone()));
    }
    let start_short_lived = |seed| ShortLived::start(subjects, elsewhere, &over, seed).unwrap();
    let mut short_lived: Vec<_> = (0..SHORT_LIVED).map(|n| start_short_lived(seed ^ (u64::from(n) << 32))).collect();
    disruptor
        .run(time, |random| {
            short_lived.rotate_left(1);
            short_lived.pop();
            short_lived.push(start_short_lived(random));
        })
        .await;
    end.send(true)?;
    while let Some(ended) = callers.join_next().await {
        ended?;
    }
    Ok(())
}

/// Every client calls until it has a good answer.
async fn calm(subjects: &[Arc<Subject>], elsewhere: &Arc<str>, seed: u64) -> Result<(), BoxError> {
    let mut callers = JoinSet::new();
    for (index, subject) in clients(subjects) {
        callers.spawn(Caller::new(subject, index % 2 == 0, elsewhere, seed ^ index).succeed());
    }
    while let Some(ended) = callers.join_next().await {
        ended?;
    }
    Ok(())
}

/// Every client's number and layer; each layer has as many of one protocol as of the other.
fn clients(subjects: &[Arc<Subject>]) -> impl Iterator<Item = (u64, &Arc<Subject>)> {
    (0..CLIENTS).map(|index| (index as u64, &subjects[index / 2 % subjects.len()]))
}

/// What the other end saw.
fn check_servers(tally: &Tally, worlds: &[Arc<World>], elsewhere: &Elsewhere) {
    let leaked = worlds.iter().map(|world| world.sandbox.stats().credentials_leaked).sum::<u64>();
    let strayed = elsewhere.credentials();
    tally.add(Row::Wire, "credentials that a server should not have got", leaked + strayed);
    if leaked + strayed > 0 {
        tally.violated(Check::CredentialsContained, format!("{leaked} seen by sandboxes, {strayed} elsewhere"));
    }
    tally.add(Row::Wire, "requests seen elsewhere", elsewhere.requests());
    for world in worlds {
        let stats = world.sandbox.stats();
        tally.add(Row::Wire, "API requests seen by sandboxes", stats.api_requests);
        tally.add(Row::Wire, "API requests accepted by sandboxes", stats.accepted);
        tally.add(Row::Wire, "API requests rejected by sandboxes", stats.rejected);
        tally.add(Row::Tokens, "token requests seen by sandboxes", stats.token_requests);
    }
}

fn setting<T: FromStr<Err: std::fmt::Debug>>(name: &str, default: T) -> T {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

const CLIENTS: usize = 64;
/// Runtimes that are shut down and replaced; each has one client of every layer.
const SHORT_LIVED: u32 = 8;
/// Short enough to end often.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(3600);
/// Without these it was no chaos.
const HAPPENED: [(Row, &str); 7] = [
    (Row::Answers, "good"),
    (Row::Calls, "dropped by the caller"),
    (Row::Wire, "sent again"),
    (Row::Wire, "requests seen elsewhere"),
    (Row::Tokens, "asked for: a rejection"),
    (Row::Disruptions, "revocations"),
    (Row::Disruptions, "runtimes shut down"),
];

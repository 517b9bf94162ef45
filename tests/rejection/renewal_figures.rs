//! R5: the figures that are guaranteed for APIs that reject tokens.
//!
//! Latencies are 20 ms for the API and 100 ms for a token request, unless a test says otherwise.

mod over_sockets;
pub(crate) mod world;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::timeout;
use tower::{Service, ServiceExt};
use tower_outbound_auth::replay::{CloneBody, NoReplay, Replay};
use world::{Tally, World, millis, seconds};

use crate::support::{Body, get};

/// 20 callers for 20 s, while each n-th answer is a 401, if any: their calls, and the token requests.
async fn each_nth_answer_rejects(nth: Option<u64>) -> (Tally, u64) {
    let world = World::new();
    let process = world.process();
    let answers = Arc::new(AtomicU64::new(1));
    let accepts = move |_| nth.is_none_or(|nth| !answers.fetch_add(1, SeqCst).is_multiple_of(nth));
    let tally = world.callers(&world.client(&process, accepts), 20, seconds(20)).await;
    (tally, process.requests())
}

#[tokio::test(start_paused = true)]
async fn r5_an_api_that_rejects_each_16th_call_keeps_four_fifths_of_its_throughput() {
    let (undisturbed, _) = each_nth_answer_rejects(None).await;
    for nth in [16, 100] {
        let (tally, requests) = each_nth_answer_rejects(Some(nth)).await;
        assert!(tally.served() * 5 >= undisturbed.served() * 4, "each {nth}th: {}", tally.outcomes());
        assert!(requests <= 10, "each {nth}th: {requests} token requests");
    }
}

#[tokio::test(start_paused = true)]
async fn r5_while_the_token_endpoint_is_down_and_each_tenth_call_rejected_eight_of_nine_are_served() {
    let outage = seconds(60)..seconds(360);
    let world = World::with(millis(100), |now| (seconds(60)..seconds(360)).contains(&now));
    let process = world.process();
    let (answers, clock) = (Arc::new(AtomicU64::new(1)), world.clone());
    let during = outage.clone();
    let accepts = move |_| !(during.contains(&clock.now()) && answers.fetch_add(1, SeqCst).is_multiple_of(10));
    let tally = world.rate(&world.client(&process, accepts), 2.0, Duration::ZERO, seconds(400)).await;
    let during = tally.during(outage);
    assert_eq!(during.total(), 600);
    assert!(during.served() * 9 >= during.total() * 8, "{}", during.outcomes());
    // Between the fetches that fail, each is served: it is replayed with the same token.
    during.assert_served(95, "during the outage");
    // 15 fetches at the most, as backoffs grow, each of them with three attempts.
    assert!(process.requests() <= 50, "{} token requests", process.requests());
    tally.during(seconds(370)..).assert_served(100, "after the outage");
}

/// So many wrong 401s in a row, while the token endpoint is down.
async fn wrong_401s(number: u64) -> Tally {
    let world = World::with(millis(100), |now| (seconds(60)..seconds(360)).contains(&now));
    let process = world.process();
    let (answers, clock) = (Arc::new(AtomicU64::new(0)), world.clone());
    let accepts = move |_| clock.now() < seconds(60) || answers.fetch_add(1, SeqCst) >= number;
    world.rate(&world.client(&process, accepts), 20.0, Duration::ZERO, seconds(400)).await
}

#[tokio::test(start_paused = true)]
async fn r5_wrong_401s_while_the_token_endpoint_is_down_fail_no_more_calls_than_there_are() {
    for number in [1, 2, 3] {
        let tally = wrong_401s(number).await;
        let failed = u64::try_from(tally.total() - tally.served()).unwrap();
        assert!(failed <= number, "{number} wrong: {}", tally.outcomes());
    }
}

/// The API rejects everything from 10 s until 200 s; then it takes all tokens, or only new ones.
async fn rejects_everything<R: Replay<Body>>(policy: R, per_second: f64, recovers_for_old_tokens: bool) {
    let (world, case) =
        (World::new(), format!("{per_second} calls a second, for old tokens: {recovers_for_old_tokens}"));
    let process = world.process_with(policy);
    let (outage, clock) = (seconds(10)..seconds(200), world.clone());
    let accepts = move |token: world::Token| match clock.now() {
        now if now < seconds(10) => true,
        now if now < seconds(200) => false,
        _ => recovers_for_old_tokens || token.issued >= seconds(200),
    };
    let client = world.client(&process, accepts);
    let costs = async {
        let mut costs = Vec::new();
        for minute in 0..=3 {
            world.until(outage.start + seconds(60 * minute)).await;
            costs.push(process.requests());
        }
        costs.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
    };
    let (tally, costs) = tokio::join!(world.rate(&client, per_second, Duration::ZERO, seconds(230)), costs);
    let (first, further) = costs.split_first().unwrap();
    assert!(*first <= 10, "{case}: {costs:?} token requests in each minute");
    assert!(further.iter().all(|cost| *cost <= 6), "{case}: {costs:?} token requests in each minute");
    assert!(further.iter().all(|cost| *cost > 0), "{case}: it goes on trying: {costs:?}");
    assert_eq!(tally.during(seconds(11)..seconds(199)).served(), 0, "{case}");
    tally.during(outage.end + seconds(10)..).assert_served(100, &case);
}

#[tokio::test(start_paused = true)]
async fn r5_an_api_that_rejects_everything_costs_ten_token_requests_a_minute_then_six() {
    for (per_second, recovers_for_old_tokens) in [(100.0, true), (100.0, false), (1.0, true), (1.0, false)] {
        rejects_everything(CloneBody, per_second, recovers_for_old_tokens).await;
        rejects_everything(NoReplay, per_second, recovers_for_old_tokens).await;
    }
}

/// Five minutes of good calls, and one bad call a second.
async fn one_bad_caller<R: Replay<Body>>(policy: R, good: f64) {
    let world = World::new();
    let process = world.process_with(policy);
    let (takes, rejects) = (world.client(&process, |_| true), world.client(&process, |_| false));
    let (good, bad) = tokio::join!(
        world.rate(&takes, good, Duration::ZERO, seconds(300)),
        world.rate(&rejects, 1.0, millis(5_500), seconds(300)),
    );
    good.assert_served(100, "the good calls");
    assert_eq!(bad.served(), 0);
    // The first token, a burst of four, and one in each ten seconds.
    let requests = process.requests();
    assert!(requests <= 1 + 4 + 30, "{requests} token requests among {} good calls", good.total());
}

#[tokio::test(start_paused = true)]
async fn r5_one_bad_caller_costs_four_token_requests_and_one_in_ten_seconds() {
    for good in [50.0, 1.0, 0.05] {
        one_bad_caller(CloneBody, good).await;
        one_bad_caller(NoReplay, good).await;
    }
}

/// All tokens that were issued before one of these moments are rejected from then on.
async fn revoked_at(moments: Vec<Duration>, per_second: f64, end: Duration) -> (Tally, u64) {
    let world = World::new();
    let process = world.process();
    let clock = world.clone();
    let accepts = move |token: world::Token| !moments.iter().any(|at| token.issued < *at && *at <= clock.now());
    let tally = world.rate(&world.client(&process, accepts), per_second, Duration::ZERO, end).await;
    (tally, process.requests())
}

#[tokio::test(start_paused = true)]
async fn r5_seven_revocations_in_thirteen_seconds_fail_no_call() {
    for per_second in [1.0, 20.0, 200.0] {
        let moments = [5_000, 10_000, 15_000, 15_700, 16_400, 17_100, 17_800].map(millis).to_vec();
        let (tally, requests) = revoked_at(moments, per_second, seconds(40)).await;
        tally.assert_served(100, "seven revocations");
        assert!(requests <= 8, "{requests} token requests");
    }
}

#[tokio::test(start_paused = true)]
async fn r5_a_revocation_in_each_second_of_a_minute_fails_no_call() {
    let moments = (5..65).map(seconds).collect();
    let (tally, requests) = revoked_at(moments, 20.0, seconds(70)).await;
    tally.assert_served(100, "a revocation in each second");
    assert_eq!(requests, 61);
}

#[tokio::test(start_paused = true)]
async fn r5_a_token_that_half_of_the_nodes_refuse_is_renewed_once() {
    let world = World::new();
    let process = world.process();
    let (clock, node) = (world.clone(), Mutex::new(fastrand::Rng::with_seed(1)));
    let node = Arc::new(node);
    let accepts = move |token: world::Token| {
        clock.now() < seconds(10) || token.issued >= seconds(10) || node.lock().unwrap().bool()
    };
    let tally = world.rate(&world.client(&process, accepts), 200.0, Duration::ZERO, seconds(30)).await;
    tally.assert_served(100, "half of the nodes");
    assert_eq!(process.requests(), 2);
}

/// A minute of layers that share a client id, at a server where a new token ends the one before: the calls, and each
/// layer's token requests.
async fn one_token_per_client(layers: u64) -> (Tally, Vec<u64>) {
    let world = World::new();
    let processes: Vec<_> = (0..layers).map(|_| world.process()).collect();
    let mut loads = tokio::task::JoinSet::new();
    for (process, number) in processes.iter().zip(0..) {
        let server = world.clone();
        let client = world.client(process, move |token| token.serial == server.newest());
        let world = world.clone();
        loads.spawn(async move { world.rate(&client, 20.0, millis(3 * number), seconds(60)).await });
    }
    let tally = loads.join_all().await.into_iter().reduce(Tally::and).unwrap();
    (tally, processes.iter().map(world::Process::requests).collect())
}

#[tokio::test(start_paused = true)]
async fn r5_two_processes_at_a_server_with_one_token_per_client_have_nine_of_ten_calls_served() {
    let (tally, requests) = one_token_per_client(2).await;
    tally.assert_served(90, "two processes");
    assert!(requests.iter().all(|requests| *requests <= 250), "{requests:?} token requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn r5_five_processes_at_a_server_with_one_token_per_client_stay_below_250_token_requests_each() {
    let (_, requests) = one_token_per_client(5).await;
    assert!(requests.iter().all(|requests| *requests <= 250), "{requests:?} token requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn r5_an_api_that_takes_each_token_once_costs_at_most_250_token_requests_a_minute() {
    for latency in [30, 100].map(millis) {
        let world = World::with(latency, |_| false);
        let process = world.process();
        let used = Arc::new(Mutex::new(HashSet::new()));
        let client = world.client(&process, move |token| used.lock().unwrap().insert(token.serial));
        world.rate(&client, 100.0, Duration::ZERO, seconds(60)).await;
        assert!(process.requests() <= 250, "{} token requests in a minute", process.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn r5_callers_that_give_up_lock_nobody_out() {
    let world = World::with(millis(20), |_| false);
    let process = world.process();
    let revoked = Arc::new(Mutex::new(Vec::new()));
    let (clock, revocations) = (world.clone(), Arc::clone(&revoked));
    let accepts = move |token: world::Token| {
        let revocations = revocations.lock().unwrap();
        !revocations.iter().any(|at| token.issued < *at && *at <= clock.now())
    };
    let client = world.client(&process, accepts);
    for number in 0..300_u64 {
        if number > 0 && number.is_multiple_of(50) {
            revoked.lock().unwrap().push(world.now());
        }
        let patience = Duration::from_micros((number * 7_919) % 30_000);
        let _ = timeout(patience, client.clone().oneshot(get("/a"))).await;
    }
    let mut waits = client.clone();
    let response = waits.ready().await.unwrap().call(get("/a")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(process.requests() <= 7, "{} token requests", process.requests());
}

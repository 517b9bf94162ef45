//! However many callers want a token, one token request is made for them.

use std::{future::Future, sync::Arc, time::Duration};

use http::StatusCode;
use tokio::{
    sync::Barrier,
    task::yield_now,
    time::{Instant, sleep, sleep_until, timeout},
};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_outbound_auth::{AuthError, ErrorKind, token::RefreshPolicy};

use crate::support::{Issuer, api, get};

const TASKS: usize = 64;
const ROUNDS: u64 = 100;

/// Many tasks that ask at the same moment, on all threads of the runtime.
async fn race<F>(ask: impl Fn() -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let start = Arc::new(Barrier::new(TASKS));
    let run = |asked: F| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            start.wait().await;
            asked.await
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| run(ask())).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// An issuer that answers at once.
fn quick() -> Issuer {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::ZERO);
    issuer
}

#[tokio::test(start_paused = true)]
async fn t1_ten_thousand_cold_callers_cost_one_token_request() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::from_millis(10));
    let client = issuer.layer().layer(api);
    let calls: Vec<_> = (0..10_000).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(issuer.requests(), 1);
    assert_eq!(seen.count(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn t1_cloned_layers_their_services_and_handles_share_one_token() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::from_millis(10));
    let layer = issuer.layer();
    let services: Vec<_> = (0..50).map(|_| layer.clone().layer(api.clone())).collect();
    let calls: Vec<_> = services.iter().cycle().take(500).map(|client| client.clone().oneshot(get("/a"))).collect();
    let (handle, calls) = (layer.clone().handle(), calls.into_iter().map(tokio::spawn).collect::<Vec<_>>());
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1");
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(issuer.requests(), 1);
    assert!(seen.tokens().iter().all(|token| token == "token-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn t1_callers_on_many_threads_share_the_first_token() {
    for round in 0..ROUNDS {
        let issuer = quick();
        let (_, api) = api(&issuer, Duration::ZERO);
        let layer = issuer.builder().build().unwrap();
        let responses = race(|| layer.clone().layer(api.clone()).oneshot(get("/a"))).await;
        assert!(responses.iter().all(|response| response.as_ref().unwrap().status() == StatusCode::OK));
        assert_eq!(issuer.requests(), 1, "in round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn t1_callers_on_many_threads_share_the_successor_of_a_rejected_token() {
    let issuer = quick();
    let handle = issuer.builder().build().unwrap().handle();
    for round in 1..=ROUNDS {
        let token = handle.token().await.unwrap();
        assert_eq!(issuer.requests(), round);
        let reject_and_ask = || {
            let (handle, token) = (handle.clone(), token.clone());
            async move {
                handle.invalidate(&token);
                handle.token().await.unwrap().expose_secret().to_owned()
            }
        };
        let successor = format!("token-{}", round + 1);
        assert!(race(reject_and_ask).await.iter().all(|token| *token == successor), "in round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn t14_callers_on_many_threads_start_one_fetch_for_one_rotation() {
    let issuer = quick();
    let handle = issuer.builder().build().unwrap().handle();
    handle.token().await.unwrap();
    for round in 1..=ROUNDS {
        issuer.rotate();
        let ask = || {
            let handle = handle.clone();
            async move { handle.token().await.is_ok() }
        };
        assert!(race(ask).await.into_iter().all(|served| served));
        let ended = async {
            while handle.status().issued <= round {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), ended).await.expect("no fetch was started");
        assert_eq!(issuer.requests(), 1 + round);
    }
}

#[tokio::test(start_paused = true)]
async fn t2_callers_with_a_timeout_shorter_than_the_endpoint_still_fill_the_cache() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::from_secs(1));
    let (_, api) = api(&issuer, Duration::from_millis(10));
    let patience = Duration::from_millis(300);
    let client = ServiceBuilder::new().timeout(patience).layer(issuer.layer()).service(api);
    let mut served = Vec::new();
    for _ in 0..15 {
        let next = Instant::now() + patience;
        served.push(client.clone().oneshot(get("/a")).await.is_ok());
        sleep_until(next).await;
    }
    // The token is there after a second: the callers at 0, 300 and 600 ms gave up before, the one at 900 ms did not.
    assert_eq!(served.iter().position(|served| *served), Some(3));
    assert_eq!(served.iter().filter(|served| **served).count(), 12);
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn t2_a_caller_that_is_dropped_takes_no_other_along() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    let first = tokio::spawn(client.clone().oneshot(get("/first")));
    sleep(Duration::from_millis(10)).await;
    let second = tokio::spawn(client.clone().oneshot(get("/second")));
    sleep(Duration::from_millis(10)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let begin = Instant::now();
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    assert_eq!(begin.elapsed(), Duration::from_millis(30), "the rest of the first caller's fetch");
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn t2_a_fetch_that_everybody_has_left_brings_its_token() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (waiting, other) = (handle.clone(), handle.clone());
    let caller = tokio::spawn(async move { tokio::join!(waiting.token(), other.refresh()).0 });
    sleep(Duration::from_millis(10)).await;
    caller.abort();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(handle.status().issued, 1);
    let begin = Instant::now();
    handle.token().await.unwrap();
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(issuer.requests(), 1);
}

/// The attempts that 100 callers cost together, and what each of them was told.
async fn outage(failure: &AuthError) -> (u64, Vec<AuthError>) {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(failure.clone()));
    let (seen, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    let mut errors = Vec::new();
    for call in calls {
        errors.push(call.await.unwrap().unwrap_err().downcast_ref::<AuthError>().unwrap().clone());
    }
    assert_eq!(seen.count(), 0, "no request goes out without its credential");
    (issuer.requests(), errors)
}

#[tokio::test(start_paused = true)]
async fn t3_an_outage_costs_the_attempts_of_one_fetch_and_all_waiters_share_its_error() {
    let down = AuthError::new(ErrorKind::Unavailable, "the endpoint is down").with_source("connection refused");
    let (attempts, errors) = outage(&down).await;
    assert_eq!(attempts, 3);
    assert_eq!(errors.len(), 100);
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "the endpoint is down");
        assert_eq!(std::error::Error::source(error).unwrap().to_string(), "connection refused");
        assert!(error.is_transient());
        assert_eq!(error.retry_after(), errors[0].retry_after());
        assert!(error.retry_after().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn t3_a_refusal_costs_one_attempt_and_all_waiters_share_it() {
    let (attempts, errors) = outage(&AuthError::new(ErrorKind::Denied, "the client is locked")).await;
    assert_eq!(attempts, 1);
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Denied && !error.is_transient()));
    assert!(errors.iter().all(|error| error.to_string() == "the client is locked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn t3_callers_on_many_threads_share_one_failure() {
    let policy =
        RefreshPolicy::default().attempts(1).failure_backoff(Duration::from_secs(3600), Duration::from_secs(3600));
    for round in 0..ROUNDS {
        let issuer = quick();
        issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "down")));
        let handle = issuer.builder().refresh(policy.clone()).build().unwrap().handle();
        let ask = || {
            let handle = handle.clone();
            async move { handle.token().await.unwrap_err().kind() }
        };
        assert!(race(ask).await.into_iter().all(|kind| kind == ErrorKind::Unavailable));
        assert_eq!(issuer.requests(), 1, "in round {round}");
        assert_eq!(handle.status().failures, 1);
    }
}

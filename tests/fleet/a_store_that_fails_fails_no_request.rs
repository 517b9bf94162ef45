//! F4: the process then fetches for itself.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep};
use tower_outbound_auth::{
    fleet::SharedTokenSource,
    token::{FetchRequest, TokenSource},
};

use super::{
    stage::{Fault, Faulty, SECOND, builder, fetch, fetch_after, process},
    support::Issuer,
};

/// The token of a fetch, and how much longer it took than the token request.
async fn timed(source: &SharedTokenSource<Issuer>) -> (String, Duration) {
    let start = Instant::now();
    let token = fetch(source).await.unwrap();
    (token, start.elapsed().saturating_sub(Duration::from_millis(50)))
}

#[tokio::test(start_paused = true)]
async fn f4_a_store_that_hangs_costs_250_ms_once_per_pause() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    store.set(Fault::Hangs);
    let process = process(&issuer, &store);
    let (token, lost) = timed(&process).await;
    assert_eq!(token, "token-1");
    assert!(lost >= Duration::from_millis(250) && lost < Duration::from_millis(260), "{lost:?}");
    for _ in 0..10 {
        assert!(timed(&process).await.1 < Duration::from_millis(5));
    }
    assert_eq!(store.uses().len(), 1);
    let mut tries = 0;
    for _ in 0..120 {
        advance(SECOND / 2).await;
        tries += u32::from(timed(&process).await.1 > Duration::from_millis(200));
    }
    assert!((4..=8).contains(&tries), "{tries} in a minute: 2, 4, 8, 15 s apart");
}

#[tokio::test(start_paused = true)]
async fn f4_a_store_that_fails_at_once_is_left_alone_too() {
    for fault in [Fault::Fails, Fault::FailsTo("read_or_lease"), Fault::FailsTo("publish"), Fault::FailsTo("retire")] {
        let (issuer, store) = (Issuer::new(), Faulty::default());
        let process = process(&issuer, &store);
        store.set(fault);
        for number in 1..=5 {
            let token = fetch_after(&process, "token-0").await.unwrap();
            assert_eq!(token, format!("token-{number}"), "{fault:?}");
        }
        let uses = store.uses();
        assert!(uses.len() <= 4, "{uses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn f4_a_store_that_has_recovered_is_used_again_within_20_seconds() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    let process = process(&issuer, &store);
    store.set(Fault::Hangs);
    for _ in 0..300 {
        fetch(&process).await.unwrap();
        advance(SECOND).await;
    }
    store.set(None);
    let before = issuer.requests();
    advance(20 * SECOND).await;
    fetch(&process).await.unwrap();
    assert_eq!(issuer.requests(), before + 1);
    fetch(&process).await.unwrap();
    assert_eq!(issuer.requests(), before + 1, "shared");
}

#[tokio::test(start_paused = true)]
async fn f4_a_lost_answer_fails_no_request_and_locks_nobody_out() {
    for lost in ["read_or_lease", "publish", "retire", "release", "renew"] {
        let (issuer, store) = (Issuer::new(), Faulty::default());
        issuer.set(|settings| settings.latency = 3 * SECOND);
        store.set(Fault::LosesAnswerTo(lost));
        let first = process(&issuer, &store);
        fetch_after(&first, "token-0").await.unwrap();
        store.set(None);
        let start = Instant::now();
        fetch(&process(&issuer, &store)).await.unwrap();
        assert!(start.elapsed() < 8 * SECOND, "{lost}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn f4_a_store_that_goes_while_a_process_waits_costs_it_250_ms() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    issuer.set(|settings| settings.latency = 8 * SECOND);
    let leader = process(&issuer, &store);
    let leads = tokio::spawn(async move { fetch(&leader).await });
    sleep(SECOND).await;
    let follower = process(&issuer, &store);
    let follows = tokio::spawn(async move { timed(&follower).await });
    sleep(SECOND).await;
    issuer.set(|settings| settings.latency = SECOND / 20);
    store.set(Fault::Hangs);
    let (token, lost) = follows.await.unwrap();
    assert_eq!(token, "token-2");
    assert!(lost < SECOND + Duration::from_millis(360), "{lost:?}");
    assert_eq!(leads.await.unwrap().unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn f4_an_entry_of_somebody_else_is_done_without() {
    for fault in [Fault::Garbage, Fault::Swapped] {
        let (issuer, store) = (Issuer::new(), Faulty::default());
        let process = process(&issuer, &store);
        fetch(&process).await.unwrap();
        store.set(fault);
        assert_eq!(fetch(&process).await.unwrap(), "token-2", "{fault:?}");
        assert_eq!(store.count("publish"), 1, "and is left where it is");
    }
}

#[tokio::test(start_paused = true)]
async fn f4_a_failed_token_request_stays_a_failed_token_request() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    let error = tower_outbound_auth::AuthError::new(tower_outbound_auth::ErrorKind::Denied, "the client is locked");
    issuer.set(|settings| settings.failure = Some(error));
    for fault in [None, Some(Fault::Fails), Some(Fault::FailsTo("release"))] {
        store.set(fault);
        let error = process(&issuer, &store).fetch(FetchRequest::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "the client is locked");
    }
}

#[tokio::test(start_paused = true)]
async fn f4_with_a_timeout_of_zero_the_store_is_never_used() {
    let (issuer, store) = (Issuer::new(), Faulty::default());
    store.set(Fault::Hangs);
    let process = builder(&issuer, &store).timeout(Duration::ZERO).build().unwrap();
    assert!(timed(&process).await.1 < Duration::from_millis(5));
}

#[test]
fn f4_a_runtime_that_is_not_driven_any_more_locks_nobody_out() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (issuer, store) = (Issuer::new(), Faulty::default());
    issuer.set(|settings| settings.latency = 5 * SECOND);
    let source = process(&issuer, &store);
    let (dead, clone) = (runtime(), source.clone());
    dead.block_on(async {
        tokio::spawn(async move { fetch(&clone).await });
        sleep(SECOND).await;
    });
    issuer.set(|settings| settings.latency = SECOND / 20);
    runtime().block_on(async {
        let fetched = tokio::time::timeout(25 * SECOND, fetch(&source)).await;
        assert_eq!(fetched.unwrap().unwrap(), "token-2");
        let start = Instant::now();
        assert_eq!(fetch(&source).await.unwrap(), "token-3", "the dead one's lease has run out");
        assert!(start.elapsed() < SECOND, "the next fetch does not wait for it");
    });
    drop(dead);
}

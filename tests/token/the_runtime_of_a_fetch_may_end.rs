//! A fetch belongs to the runtime of the call that began it, and that runtime may end, or stand still.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::{Instant, advance, sleep, timeout},
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::ErrorKind;

use crate::support::{Issuer, api, get};

/// A runtime on paused time that is this much later than the machine's.
fn runtime_at(later: Duration) -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(advance(later));
    runtime
}

fn runtime() -> Runtime {
    runtime_at(Duration::ZERO)
}

/// Polls once within the runtime, then lets its other tasks begin. Whether the future waits.
fn nudge<F: Future + Unpin>(runtime: &Runtime, future: &mut F) -> bool {
    runtime.block_on(async {
        let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await;
        yield_now().await;
        pending
    })
}

#[test]
fn t2_a_waiter_of_another_runtime_starts_over_when_the_runtime_of_the_fetch_ends() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, there) = (runtime(), runtime());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the fetch runs there");
    let mut waiter = Box::pin(handle.token());
    assert!(nudge(&here, &mut waiter));
    assert_eq!(issuer.requests(), 1);

    drop(there);
    let token = here.block_on(async { timeout(Duration::from_secs(60), waiter).await }).expect("a waiter is stuck");
    assert_eq!(token.unwrap().expose_secret(), "token-2");
    assert_eq!(issuer.requests(), 2);
}

#[test]
fn t2_a_waiter_of_another_runtime_starts_over_once() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, there, third) = (runtime(), runtime(), runtime());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the first fetch runs there");
    let mut waiter = Box::pin(handle.token());
    assert!(nudge(&here, &mut waiter));

    drop(there);
    assert!(nudge(&third, &mut Box::pin(handle.token())), "the second fetch runs in the third runtime");
    assert!(nudge(&here, &mut waiter), "it joins the second");
    drop(third);
    let error = here.block_on(async { timeout(Duration::from_secs(60), waiter).await }).expect("a waiter is stuck");
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Aborted);
    assert_eq!(here.block_on(handle.token()).unwrap().expose_secret(), "token-3", "and without backoff");
}

#[test]
fn t2_a_rejected_request_that_waits_in_another_runtime_is_replayed_all_the_same() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let client = layer.layer(api);
    let (here, there) = (runtime(), runtime());
    here.block_on(layer.handle().token()).unwrap();
    issuer.revoke();
    let mut first = Box::pin(client.clone().oneshot(get("/a")));
    // The API's answer takes a turn of the timer.
    while issuer.requests() < 2 {
        assert!(nudge(&there, &mut first), "its token is renewed there");
        there.block_on(advance(Duration::from_millis(1)));
    }
    let mut second = Box::pin(client.oneshot(get("/a")));
    for _ in 0..3 {
        assert!(nudge(&here, &mut second), "it is rejected too, and waits for the same fetch");
        here.block_on(advance(Duration::from_millis(1)));
    }
    drop(first);
    drop(there);
    let response = here.block_on(async { timeout(Duration::from_secs(60), second).await }).expect("a waiter is stuck");
    assert_eq!(response.unwrap().status(), 200);
    assert_eq!(issuer.requests(), 3);
}

#[test]
fn t2_a_runtime_per_call_costs_no_token_per_call() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.lifetime = Some(Duration::from_secs(4)));
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    let (mut now, mut calls) = (Duration::ZERO, 0);
    while now < Duration::from_secs(8) {
        let runtime = runtime_at(now);
        let call = client.clone().oneshot(get("/a"));
        let (response, took) = runtime.block_on(async {
            let begin = Instant::now();
            let response = call.await;
            // A refresh that was begun asks for its token before it ends with the runtime.
            yield_now().await;
            (response, begin.elapsed())
        });
        assert_eq!(response.unwrap().status(), 200, "call {calls}");
        now += took + Duration::from_millis(20);
        calls += 1;
    }
    assert!(calls > 100);
    assert!(issuer.requests() <= 20, "{} token requests for {calls} calls", issuer.requests());
}

#[test]
fn t2_an_aborted_early_refresh_is_not_begun_again_within_a_second() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    let call_at = |now| {
        runtime_at(now).block_on(async {
            let response = client.clone().oneshot(get("/a")).await;
            yield_now().await;
            assert_eq!(response.unwrap().status(), 200);
        });
        issuer.requests()
    };
    assert_eq!(call_at(Duration::ZERO), 1);
    let stale = Duration::from_secs(3_000);
    assert_eq!(call_at(stale), 2, "its refresh ends with its runtime");
    for millis in [1, 100, 500, 900] {
        assert_eq!(call_at(stale + Duration::from_millis(millis)), 2, "{millis} ms later");
    }
    assert_eq!(call_at(stale + Duration::from_millis(1_500)), 3);
}

#[test]
fn t2_a_runtime_that_is_never_driven_again_blocks_no_caller_beyond_the_deadline_and_a_second() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = issuer.layer().layer(api);
    let (here, idle) = (runtime(), runtime());
    assert!(nudge(&idle, &mut Box::pin(client.clone().oneshot(get("/a")))), "the fetch is left behind there");
    let waited = here.block_on(async {
        let begin = Instant::now();
        let response = timeout(Duration::from_secs(60), client.oneshot(get("/a"))).await.expect("a caller is stuck");
        assert_eq!(response.unwrap().status(), 200);
        begin.elapsed()
    });
    // The fetch that follows takes 50 ms.
    assert!(waited <= Duration::from_millis(31_100), "{waited:?}");
    drop(idle);
}

#[test]
fn t2_a_renewal_that_is_left_behind_blocks_no_caller_beyond_the_deadline_and_a_second() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let client = layer.layer(api);
    let (here, idle) = (runtime(), runtime());
    here.block_on(layer.handle().token()).unwrap();
    issuer.revoke();
    let mut left_behind = Box::pin(client.clone().oneshot(get("/a")));
    while issuer.requests() < 2 {
        assert!(nudge(&idle, &mut left_behind), "the renewal is left behind there");
        idle.block_on(advance(Duration::from_millis(1)));
    }
    here.block_on(async {
        let begin = Instant::now();
        // The first is rejected a second time in a row, so that the second finds no token.
        let calls = [client.clone(), client].map(|client| tokio::spawn(client.oneshot(get("/a"))));
        for call in calls {
            let response = timeout(Duration::from_secs(60), call).await.expect("a caller is stuck");
            assert_eq!(response.unwrap().unwrap().status(), 200);
        }
        assert!(begin.elapsed() <= Duration::from_millis(31_100), "{:?}", begin.elapsed());
        sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(issuer.requests(), 3);
    drop(left_behind);
}

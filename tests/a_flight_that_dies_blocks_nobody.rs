//! Whatever ends a token flight, and whichever runtime it ran on, the next caller gets a token.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "tokio's clock is paused wherever a test sleeps")]

mod support;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use support::{Issuer, ORIGIN, api, get};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AccessToken, AuthError, AuthLayer, Clock, ErrorKind, FetchRequest, RefreshPolicy, TokenSource, TokenState,
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Polls once within the runtime, then lets its other tasks begin.
fn nudge<F: Future + Unpin>(runtime: &Runtime, future: &mut F) -> bool {
    runtime.block_on(async {
        let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await;
        yield_now().await;
        pending
    })
}

/// Polls once where no runtime is.
fn poll_alone<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn t2_a_panicking_source_aborts_for_all_waiters_and_the_next_caller_starts_anew() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.panics = true);
    let (_, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let client = layer.clone().layer(api);
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    for call in calls {
        let answer = timeout(Duration::from_secs(60), call).await.expect("a waiter is stuck");
        let error = answer.unwrap().unwrap_err();
        assert_eq!(error.downcast_ref::<AuthError>().unwrap().kind(), ErrorKind::Aborted);
    }
    assert_eq!(issuer.requests(), 1);

    issuer.set(|settings| settings.panics = false);
    let begin = Instant::now();
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(begin.elapsed(), Duration::from_millis(50), "one flight, and no cool-down before it");
    assert_eq!(issuer.requests(), 2);
    assert_eq!((layer.handle().status().issued, layer.handle().status().failures), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn t2_a_panic_while_refreshing_ahead_is_invisible_and_the_next_request_tries_again() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    handle.token().await.unwrap();
    issuer.set(|settings| settings.panics = true);
    sleep(Duration::from_secs(3000)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.status().last_error.unwrap().kind(), ErrorKind::Aborted);
    issuer.set(|settings| settings.panics = false);
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-3");
}

#[tokio::test(start_paused = true)]
async fn t2_after_an_abort_no_cool_down_from_before_it_goes_on() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "locked")));
    let handle = issuer.layer().handle();
    assert_eq!(handle.token().await.unwrap_err().kind(), ErrorKind::Denied);
    issuer.set(|settings| (settings.failure, settings.panics) = (None, true));
    assert_eq!(handle.refresh().await.unwrap_err().kind(), ErrorKind::Aborted);
    issuer.set(|settings| settings.panics = false);
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-3");
}

#[test]
fn t2_a_runtime_that_ends_aborts_for_a_waiter_elsewhere_and_the_next_caller_starts_anew() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, there) = (runtime(), runtime());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the flight runs there");
    let (waiting, own) = (handle.clone(), here.enter());
    let waiter = tokio::spawn(async move { waiting.token().await });
    drop(own);
    here.block_on(yield_now());
    assert_eq!(issuer.requests(), 1);

    drop(there);
    let outcome = here.block_on(async { timeout(Duration::from_secs(60), waiter).await }).expect("a waiter is stuck");
    let error = outcome.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted);
    assert_eq!(here.block_on(handle.token()).unwrap().expose_secret(), "token-2");
    assert_eq!(issuer.requests(), 2);
}

#[test]
fn t2_a_flight_on_a_runtime_that_nobody_runs_any_more_ends_by_its_deadline() {
    let issuer = Issuer::new();
    let policy = RefreshPolicy::default().deadline(Duration::from_secs(30));
    let handle = issuer.builder().refresh(policy).build().unwrap().handle();
    let (here, idle) = (runtime(), runtime());
    assert!(nudge(&idle, &mut Box::pin(handle.token())), "the flight is left behind there, neither done nor dropped");
    here.block_on(async {
        let first = timeout(Duration::from_secs(60), handle.token()).await;
        assert!(first.is_ok(), "a caller is stuck behind a flight that is past its deadline");
        let second = timeout(Duration::from_secs(60), handle.refresh()).await;
        assert!(second.unwrap().is_ok());
    });
}

#[test]
fn t2_who_waits_on_another_runtime_leaves_the_flight_its_deadline() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, there) = (runtime(), runtime());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the flight runs there");
    let early = here.block_on(async { timeout(Duration::from_secs(29), handle.token()).await });
    assert!(early.is_err(), "it was given up after less than 30 s: {early:?}");
    there.block_on(async { sleep(Duration::from_millis(60)).await });
    assert_eq!(here.block_on(handle.token()).unwrap().expose_secret(), "token-1");
    assert_eq!(issuer.requests(), 1);
}

#[test]
fn t2_who_waits_on_another_runtime_leaves_each_flight_a_deadline_of_its_own() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, there) = (runtime(), runtime());
    let land = || there.block_on(async { sleep(Duration::from_millis(60)).await });
    let mut waiter = pin!(handle.token());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the first flight runs there");
    assert!(here.block_on(async { timeout(Duration::from_secs(20), &mut waiter).await }).is_err());

    land();
    handle.reject(&there.block_on(handle.token()).unwrap());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the second runs there too");
    let early = here.block_on(async { timeout(Duration::from_secs(20), &mut waiter).await });
    assert!(early.is_err(), "40 s after the first began, but 20 s after the second: {early:?}");

    land();
    assert_eq!(here.block_on(waiter).unwrap().expose_secret(), "token-2");
    assert_eq!(issuer.requests(), 2);
}

#[test]
fn t2_callers_too_impatient_for_the_deadline_get_past_a_flight_that_nobody_runs_any_more() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, idle) = (runtime(), runtime());
    assert!(nudge(&idle, &mut Box::pin(handle.token())), "the flight is left behind there, neither done nor dropped");
    let served = here.block_on(async {
        for _ in 0..120 {
            if let Ok(Ok(token)) = timeout(Duration::from_secs(1), handle.token()).await {
                return Some(token);
            }
        }
        None
    });
    assert!(served.is_some(), "two minutes of callers with a timeout of a second, and none was served");
}

#[test]
fn t2_keep_warm_gets_past_a_flight_that_nobody_runs_any_more() {
    let handle = Issuer::new().layer().handle();
    let (here, idle) = (runtime(), runtime());
    assert!(nudge(&idle, &mut Box::pin(handle.token())), "the flight is left behind there, neither done nor dropped");
    here.block_on(async {
        let _warm = handle.keep_warm();
        sleep(Duration::from_secs(120)).await;
        assert_eq!(handle.status().state, TokenState::Fresh);
    });
}

#[test]
fn t2_warm_requests_get_past_a_refresh_that_nobody_runs_any_more() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::from_millis(1));
    let layer = issuer.layer();
    let (client, handle) = (layer.clone().layer(api), layer.handle());
    let (here, idle) = (runtime(), runtime());
    here.block_on(handle.token()).unwrap();
    idle.block_on(async { sleep(Duration::from_secs(3000)).await });
    assert!(nudge(&idle, &mut Box::pin(client.clone().oneshot(get("/a")))), "the refresh is left behind there");
    assert_eq!(issuer.requests(), 2);
    here.block_on(async {
        sleep(Duration::from_secs(3100)).await;
        assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(1)).await;
    });
    assert_eq!((issuer.requests(), handle.status().issued), (3, 2));
}

#[test]
fn t11_a_layer_needs_no_runtime_to_be_built_and_serves_three_one_after_the_other() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.builder().build().unwrap();
    let (client, handle) = (layer.clone().layer(api), layer.handle());
    for round in 1..=3_u64 {
        let runtime = runtime();
        for _ in 0..3 {
            assert_eq!(runtime.block_on(client.clone().oneshot(get("/a"))).unwrap().status(), 200);
        }
        assert_eq!(issuer.requests(), round);
        let token = runtime.block_on(handle.token()).unwrap();
        handle.reject(&token);
    }
    assert_eq!(seen.count(), 9);
}

#[test]
fn t11_a_call_outside_of_any_runtime_fails_with_a_typed_error() {
    for clock in [Clock::Coarse, Clock::Tokio] {
        for patience in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
            let issuer = Issuer::new();
            let (_, api) = api(&issuer, Duration::ZERO);
            let builder = issuer.builder().clock(clock);
            let layer = patience.map_or(issuer.builder().clock(clock), |wait| builder.max_wait(wait)).build().unwrap();
            let Poll::Ready(Err(error)) = poll_alone(layer.clone().layer(api.clone()).oneshot(get("/a"))) else {
                panic!("it must fail at once");
            };
            assert_eq!(error.downcast_ref::<AuthError>().unwrap().kind(), ErrorKind::Aborted);
            let Poll::Ready(Err(error)) = poll_alone(layer.handle().refresh()) else {
                panic!("it must fail at once");
            };
            assert_eq!(error.kind(), ErrorKind::Aborted);
            assert_eq!(issuer.requests(), 0);

            let served = runtime().block_on(layer.layer(api).oneshot(get("/a")));
            assert_eq!(served.is_ok(), patience != Some(Duration::ZERO), "the failure leaves no trace");
        }
    }
}

/// A request that sets `max_wait` needs the timer itself, as tower's timeout does: the documentation asks for one.
#[test]
fn t11_a_runtime_without_a_timer_fails_with_a_typed_error() {
    let issuer = Issuer::new();
    let (_, api) = api(&issuer, Duration::ZERO);
    let bare = Builder::new_current_thread().build().unwrap();
    let error = bare.block_on(issuer.layer().layer(api).oneshot(get("/a"))).unwrap_err();
    assert_eq!(error.downcast_ref::<AuthError>().unwrap().kind(), ErrorKind::Aborted);
}

#[test]
fn t11_a_warm_token_is_of_use_outside_of_any_runtime_even_when_it_is_old() {
    let issuer = Issuer::new();
    let policy = RefreshPolicy::default().refresh_at(f64::MIN_POSITIVE).jitter(0.0);
    let handle = issuer.builder().refresh(policy).build().unwrap().handle();
    runtime().block_on(handle.token()).unwrap();
    let Poll::Ready(Ok(token)) = poll_alone(handle.token()) else {
        panic!("it must be there at once");
    };
    assert_eq!(token.expose_secret(), "token-1");
    issuer.rotate();
    assert!(matches!(poll_alone(handle.token()), Poll::Ready(Ok(_))));
    assert_eq!((issuer.requests(), handle.status().failures), (1, 0), "nothing was started that could not run");

    let next = runtime();
    next.block_on(async {
        assert!(handle.token().await.is_ok());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(handle.status().issued, 2, "the next request in a runtime sees to the successor");
    });
}

/// A source that can be seen to be gone.
struct Watched {
    issuer: Issuer,
    _alive: Arc<()>,
}

impl TokenSource for Watched {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
        self.issuer.fetch(request)
    }
}

fn watched(issuer: &Issuer) -> (Weak<()>, AuthLayer) {
    let alive = Arc::new(());
    let watch = Arc::downgrade(&alive);
    let source = Watched { issuer: issuer.clone(), _alive: alive };
    (watch, AuthLayer::builder(source).origin(ORIGIN).clock(Clock::Tokio).build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn t12_when_the_last_handle_goes_during_a_flight_nothing_remains_after_it() {
    let issuer = Issuer::new();
    let (watch, layer) = watched(&issuer);
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = layer.clone().layer(api);
    let call = tokio::spawn(client.clone().oneshot(get("/a")));
    sleep(Duration::from_millis(10)).await;
    call.abort();
    drop((call, client, layer));
    sleep(Duration::from_millis(50)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(watch.strong_count(), 0, "the token source is still held");
}

#[tokio::test(start_paused = true)]
async fn t12_when_the_last_handle_goes_between_flights_all_is_freed_at_once() {
    let issuer = Issuer::new();
    let (watch, layer) = watched(&issuer);
    let handle = layer.handle();
    let token = handle.token().await.unwrap();
    let warm = handle.keep_warm();
    sleep(Duration::from_secs(7200)).await;
    drop((layer, handle));
    assert_eq!(watch.strong_count(), 1, "somebody still wants it warm");
    drop(warm);
    yield_now().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(watch.strong_count(), 0, "the token source is still held");
    assert_eq!(token.expires_in(), Some(Duration::ZERO), "a token outlives its layer, and knows its age");
}

//! Whatever ends a token fetch, and whichever runtime it ran on, the next caller gets a token.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    task::yield_now,
    time::{advance, sleep, timeout},
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, ErrorKind,
    token::{AccessToken, FetchRequest, RefreshPolicy, TokenSource, TokenState},
};

use crate::{
    runtime,
    support::{Issuer, ORIGIN, api, get},
};

/// Polls once within the runtime, then lets its other tasks begin.
fn nudge<F: Future + Unpin>(runtime: &Runtime, future: &mut F) -> bool {
    runtime.block_on(async {
        let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await;
        yield_now().await;
        pending
    })
}

#[tokio::test(start_paused = true)]
async fn t2_a_panicking_source_is_a_failed_fetch_for_all_waiters_and_leads_to_a_backoff() {
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
    let error = layer.handle().token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted);
    let backoff = error.retry_after().unwrap();
    assert!((Duration::from_millis(400)..=Duration::from_secs(1)).contains(&backoff), "{backoff:?}");
    sleep(backoff).await;
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(issuer.requests(), 2);
    assert_eq!((layer.handle().status().issued, layer.handle().status().failures), (1, 1));
}

/// Panics in a way of its own each time, and when it is dropped as well.
struct Panicking(AtomicUsize);

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "once more");
    }
}

impl TokenSource for Panicking {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        match self.0.fetch_add(1, SeqCst) % 4 {
            0 => panic!("before there is a future"),
            1 => Box::pin(async { panic!("at once") }),
            2 => Box::pin(async {
                sleep(Duration::from_millis(10)).await;
                std::panic::panic_any(42)
            }),
            _ => Box::pin(async {
                let _held = PanicsWhenDropped;
                yield_now().await;
                panic!("with something in hand")
            }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t8_a_source_that_panics_is_asked_no_more_often_than_one_that_fails() {
    let source = Arc::new(Panicking(AtomicUsize::new(0)));
    let layer = AuthLayer::builder(Arc::clone(&source)).origin(ORIGIN).build().unwrap();
    let begin = tokio::time::Instant::now();
    for _ in 0..1_000 {
        let error = layer.handle().token().await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Aborted, true));
        assert!(error.to_string().contains("the token source panicked"), "{error}");
        assert!(error.retry_after().is_some(), "{error:?}");
        sleep(Duration::from_millis(100)).await;
    }
    // 100 s, of which the backoffs take 1, 2, 4, .. or half of that.
    assert!(begin.elapsed() < Duration::from_secs(110));
    let asked = source.0.load(SeqCst);
    assert!((5..=10).contains(&asked), "asked {asked} times");
    assert_eq!(layer.handle().status().failures, asked as u64);
}

#[tokio::test(start_paused = true)]
async fn t2_a_panic_in_an_early_refresh_is_invisible_and_another_follows_after_the_backoff() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    handle.token().await.unwrap();
    issuer.set(|settings| settings.panics = true);
    sleep(Duration::from_secs(3000)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.status().last_error.unwrap().kind(), ErrorKind::Aborted);
    issuer.set(|settings| settings.panics = false);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-1");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.token().await.unwrap().expose_secret(), "token-3");
}

#[test]
fn t2_after_an_abort_no_backoff_from_before_it_goes_on() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "locked")));
    let handle = issuer.layer().handle();
    let (here, there) = (runtime(), runtime());
    assert_eq!(here.block_on(handle.token()).unwrap_err().kind(), ErrorKind::Denied);
    issuer.set(|settings| settings.failure = None);
    assert!(nudge(&there, &mut Box::pin(handle.refresh())), "the second fetch runs there");
    drop(there);
    assert_eq!(here.block_on(handle.token()).unwrap().expose_secret(), "token-3");
}

#[test]
fn t2_a_fetch_on_a_runtime_that_is_no_longer_run_ends_by_its_deadline() {
    let issuer = Issuer::new();
    let policy = RefreshPolicy::default().deadline(Duration::from_secs(30));
    let handle = issuer.builder().refresh(policy).build().unwrap().handle();
    let (here, idle) = (runtime(), runtime());
    assert!(nudge(&idle, &mut Box::pin(handle.token())), "the fetch is left behind there, neither done nor dropped");
    here.block_on(async {
        let first = timeout(Duration::from_secs(60), handle.token()).await;
        assert!(first.is_ok(), "a caller is stuck behind a fetch that is past its deadline");
        let second = timeout(Duration::from_secs(60), handle.refresh()).await;
        assert!(second.unwrap().is_ok());
    });
}

#[test]
fn t2_who_waits_on_another_runtime_leaves_the_fetch_its_deadline() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, there) = (runtime(), runtime());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the fetch runs there");
    let early = here.block_on(async { timeout(Duration::from_secs(29), handle.token()).await });
    assert!(early.is_err(), "it was given up after less than 30 s: {early:?}");
    there.block_on(async { sleep(Duration::from_millis(60)).await });
    assert_eq!(here.block_on(handle.token()).unwrap().expose_secret(), "token-1");
    assert_eq!(issuer.requests(), 1);
}

#[test]
fn t2_who_waits_on_another_runtime_leaves_each_fetch_a_deadline_of_its_own() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, there) = (runtime(), runtime());
    let end_fetch = || there.block_on(async { sleep(Duration::from_millis(60)).await });
    let mut waiter = pin!(handle.token());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the first fetch runs there");
    assert!(here.block_on(async { timeout(Duration::from_secs(20), &mut waiter).await }).is_err());

    end_fetch();
    there.block_on(advance(Duration::from_secs(20)));
    handle.invalidate(&there.block_on(handle.token()).unwrap());
    assert!(nudge(&there, &mut Box::pin(handle.token())), "the second runs there too");
    let early = here.block_on(async { timeout(Duration::from_secs(20), &mut waiter).await });
    assert!(early.is_err(), "40 s after the first began, but 20 s after the second: {early:?}");

    end_fetch();
    assert_eq!(here.block_on(waiter).unwrap().expose_secret(), "token-2");
    assert_eq!(issuer.requests(), 2);
}

#[test]
fn t2_callers_too_impatient_for_the_deadline_get_past_a_fetch_that_is_no_longer_run() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (here, idle) = (runtime(), runtime());
    assert!(nudge(&idle, &mut Box::pin(handle.token())), "the fetch is left behind there, neither done nor dropped");
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
fn t2_keep_warm_gets_past_a_fetch_that_is_no_longer_run() {
    let handle = Issuer::new().layer().handle();
    let (here, idle) = (runtime(), runtime());
    assert!(nudge(&idle, &mut Box::pin(handle.token())), "the fetch is left behind there, neither done nor dropped");
    here.block_on(async {
        let _warm = handle.keep_warm();
        sleep(Duration::from_secs(120)).await;
        assert_eq!(handle.status().state, TokenState::Fresh);
    });
}

#[test]
fn t2_warm_requests_get_past_a_refresh_that_is_no_longer_run() {
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
        for _ in 0..2 {
            assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
            sleep(Duration::from_millis(1_100)).await;
        }
    });
    assert_eq!((issuer.requests(), handle.status().issued), (3, 2));
}

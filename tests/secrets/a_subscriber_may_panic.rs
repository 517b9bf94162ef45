//! A subscriber that panics, as the usual one does where nobody reads stderr, holds nothing up and ends nothing.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "time is paused wherever a test sleeps")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    ErrorKind,
    token::{AccessToken, source_fn},
};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

use crate::support::{
    get,
    planted::{api, dressed, source, token_number},
    token_server::reply,
};

/// What a subscriber is told.
const METHODS: [&str; 8] =
    ["new_span", "record", "record_follows_from", "event", "enter", "exit", "clone_span", "try_close"];

/// Panics whenever one of these methods is called, and notes all that are, and whether their thread panicked already.
#[derive(Clone, Default)]
struct Panicking {
    panics_in: Vec<&'static str>,
    called: Arc<Mutex<Vec<&'static str>>>,
    unwinding: Arc<AtomicUsize>,
}

impl Panicking {
    fn called(&self, method: &'static str) {
        self.called.lock().unwrap().push(method);
        if std::thread::panicking() {
            self.unwinding.fetch_add(1, SeqCst);
        } else {
            assert!(!self.panics_in.contains(&method), "nobody reads {method}");
        }
    }
}

impl Subscriber for Panicking {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_outbound_auth")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.called("new_span");
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        self.called("record");
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {
        self.called("record_follows_from");
    }

    fn event(&self, _: &Event<'_>) {
        self.called("event");
    }

    fn enter(&self, _: &Id) {
        self.called("enter");
    }

    fn exit(&self, _: &Id) {
        self.called("exit");
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.called("clone_span");
        id.clone()
    }

    fn try_close(&self, _: Id) -> bool {
        self.called("try_close");
        true
    }
}

/// Everything that is traced, one after the other, beside such a subscriber.
fn live(panics_in: &[&'static str]) {
    let subscriber = Panicking { panics_in: panics_in.to_vec(), ..Panicking::default() };
    let _guard = tracing::subscriber::set_default(subscriber.clone());
    let runtime = paused();
    runtime.block_on(calls(panics_in));
    runtime.block_on(fetches(panics_in));
    ending_runtime(panics_in, &runtime);
    assert_eq!(subscriber.unwinding.load(SeqCst), 0, "{panics_in:?}: nothing is traced while a thread panics");
    let called = subscriber.called.lock().unwrap();
    assert!(called.len() > 5, "it is asked again each time: {called:?}");
    if panics_in.is_empty() {
        let all = METHODS.iter().filter(|method| **method != "record_follows_from");
        assert!(all.clone().all(|method| called.contains(method)), "{called:?}");
    }
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Two attempts, a rejection, a replay; then rejections without end, until they are throttled.
async fn calls(panics_in: &[&'static str]) {
    let grant = source(|number| if number == 0 { Ok(reply(503, &[], "")) } else { token_number(number) });
    let layer = dressed(grant.build().unwrap()).build().unwrap();
    let (seen, server) = api(&[401]);
    let response = layer.layer(server).oneshot(get("/a")).await.unwrap();
    assert_eq!((response.status(), seen.count()), (StatusCode::OK, 2), "{panics_in:?}");
    assert_eq!((layer.handle().status().issued, layer.handle().status().failures), (2, 0), "{panics_in:?}");
    for _ in 0..6 {
        let response = layer.layer(api(&[401; 9]).1).oneshot(get("/a")).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{panics_in:?}");
    }
}

/// A fetch that fails, one whose source panics, and one without a usable lifetime.
async fn fetches(panics_in: &[&'static str]) {
    let failing = source(|_| Ok(reply(400, &[], r#"{"error":"invalid_client"}"#)));
    let error = dressed(failing.build().unwrap()).build().unwrap().handle().token().await.unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Denied, Some("invalid_client")), "{panics_in:?}");
    let panicking = dressed(source_fn(|_| async { panic!("in the source") })).build().unwrap();
    for _ in 0..3 {
        let error = panicking.handle().token().await.unwrap_err();
        assert!(error.to_string().contains("the token source panicked"), "{panics_in:?}: {error}");
    }
    let odd = source(|_| Ok(reply(200, &[], r#"{"access_token":"a","expires_in":"soon"}"#)));
    assert!(dressed(odd.build().unwrap()).build().unwrap().handle().token().await.is_ok(), "{panics_in:?}");
}

/// A runtime that ends during a fetch; another one then fetches.
fn ending_runtime(panics_in: &[&'static str], next: &Runtime) {
    let slow = source_fn(|_| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        AccessToken::new("a", None)
    });
    let handle = dressed(slow).build().unwrap().handle();
    let (other, waiting) = (paused(), handle.clone());
    let waiting = other.spawn(async move { waiting.token().await.map_err(|error| error.kind()) });
    other.block_on(async { tokio::time::sleep(Duration::from_secs(1)).await });
    drop((waiting, other));
    assert_eq!(handle.status().last_error.unwrap().kind(), ErrorKind::Aborted, "{panics_in:?}");
    assert!(next.block_on(handle.token()).is_ok(), "{panics_in:?}");
    drop(handle.keep_warm());
}

#[test]
fn whatever_it_panics_in_every_call_ends_as_without_it() {
    live(&[]);
    for method in METHODS {
        live(&[method]);
    }
    live(&METHODS);
}

/// A thread that panics drops its runtime, and with that a fetch.
#[test]
fn nothing_is_traced_while_a_thread_panics() {
    let subscriber = Panicking::default();
    let told = subscriber.clone();
    let thread = std::thread::spawn(move || {
        let _guard = tracing::subscriber::set_default(subscriber);
        let layer = dressed(source_fn(|_| std::future::pending())).build().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let handle = layer.handle();
            let waiting = tokio::spawn(async move { handle.token().await });
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            assert!(waiting.is_finished(), "this thread panics");
        });
    });
    assert!(thread.join().is_err());
    let called = told.called.lock().unwrap().clone();
    assert!(called.contains(&"new_span") && called.contains(&"enter"), "a fetch was under way: {called:?}");
    assert_eq!(told.unwinding.load(SeqCst), 0);
}

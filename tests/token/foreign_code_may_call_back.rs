//! Wakers and errors are foreign code: whatever they do to the layer when they are woken or dropped, nothing is locked.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use tokio::{runtime::Builder, task::yield_now};
use tower_outbound_auth::{
    AuthError, AuthLayer, ErrorKind,
    token::{AccessToken, RefreshPolicy, TokenHandle, source_fn},
};

use crate::support::ORIGIN;

/// Does to the layer whatever a handle can, without waiting.
#[derive(Clone)]
struct CallBack {
    handle: Arc<OnceLock<TokenHandle>>,
    calls: Arc<AtomicUsize>,
}

impl CallBack {
    fn new() -> Self {
        Self { handle: Arc::default(), calls: Arc::default() }
    }

    fn call(&self) {
        let Some(handle) = self.handle.get() else { return };
        self.calls.fetch_add(1, SeqCst);
        let status = handle.status();
        assert!(!format!("{status:?} {handle:?}").is_empty());
        handle.invalidate(&AccessToken::new("another", None).unwrap());
        for mut future in
            [Box::pin(handle.token()) as std::pin::Pin<Box<dyn Future<Output = _>>>, Box::pin(handle.refresh())]
        {
            let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

struct CallsBackAsWaker(CallBack);

impl Wake for CallsBackAsWaker {
    fn wake(self: Arc<Self>) {
        self.0.call();
    }
}

impl Drop for CallsBackAsWaker {
    fn drop(&mut self) {
        self.0.call();
    }
}

struct CallsBackAsError(CallBack);

impl fmt::Debug for CallsBackAsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallsBackAsError")
    }
}

impl fmt::Display for CallsBackAsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cause")
    }
}

impl Error for CallsBackAsError {}

impl Drop for CallsBackAsError {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// A deadlock ends the test, and not the machine's patience.
fn in_time(what: &str, test: impl Future<Output = ()> + Send + 'static) {
    let (ended, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test);
        ended.send(()).unwrap();
    });
    match end.recv_timeout(Duration::from_secs(30)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        _ => thread.join().unwrap(),
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn t3_a_waker_may_call_back_when_it_is_woken_or_dropped() {
    for forced in [false, true] {
        for way in ["woken", "left", "replaced", "runtime"] {
            in_time(way, async move {
                let source = source_fn(|_| async {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    AccessToken::new("token", Some(Duration::from_secs(3_600)))
                });
                let handle = AuthLayer::builder(source).origin(ORIGIN).build().unwrap().handle();
                let call_back = CallBack::new();
                call_back.handle.set(handle.clone()).ok().unwrap();
                let waker = Waker::from(Arc::new(CallsBackAsWaker(call_back.clone())));
                let mut waiting: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
                    if forced { Box::pin(handle.refresh()) } else { Box::pin(handle.token()) };
                assert!(poll(&mut waiting, &waker).is_pending());
                drop(waker);
                match way {
                    "left" => drop(waiting),
                    "replaced" => assert!(poll(&mut waiting, Waker::noop()).is_pending()),
                    "runtime" => {}
                    _ => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        assert!(poll(&mut waiting, Waker::noop()).is_ready());
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                assert!(call_back.calls.load(SeqCst) >= 1, "{way}");
                assert_eq!(handle.token().await.unwrap().expose_secret(), "token");
            });
        }
    }
}

#[test]
fn t3_the_cause_of_an_error_may_call_back_when_it_is_dropped() {
    for recovers in [false, true] {
        in_time("an error", async move {
            let (call_back, asked) = (CallBack::new(), Arc::new(AtomicUsize::new(0)));
            let (cause, number) = (call_back.clone(), Arc::clone(&asked));
            let source = source_fn(move |_| {
                let (cause, number) = (cause.clone(), number.fetch_add(1, SeqCst));
                async move {
                    yield_now().await;
                    if recovers && number >= 6 {
                        return AccessToken::new("token", None);
                    }
                    Err(AuthError::new(ErrorKind::Unavailable, "down").with_source(CallsBackAsError(cause)))
                }
            });
            let policy = RefreshPolicy::default().attempts(2);
            let handle = AuthLayer::builder(source).origin(ORIGIN).refresh(policy).build().unwrap().handle();
            call_back.handle.set(handle.clone()).ok().unwrap();
            // Each replaces the last error of the one before.
            for _ in 0..6 {
                drop(handle.refresh().await);
                drop(handle.token().await);
                tokio::time::sleep(Duration::from_secs(100)).await;
            }
            assert!(call_back.calls.load(SeqCst) >= 3, "{}", call_back.calls.load(SeqCst));
            assert_eq!(handle.refresh().await.is_ok(), recovers);
        });
    }
}

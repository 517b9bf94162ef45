//! The way from a caller through a flight's task and back, tried by a model checker.

#![expect(clippy::unwrap_used, reason = "a model may panic: that is how it tells")]

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Access, Refresher};
use crate::{
    clock::{Clock, Timepiece},
    error::{AuthError, ErrorKind},
    token::{
        AccessToken, Acquisition, Course, FetchRequest, Issued, RefreshPolicy, TokenSource,
        flight::Trigger,
        sync::model::{block_on, check, die, join_tasks, thread},
    },
};

#[derive(Clone, Copy, Debug)]
enum Fetch {
    Fails,
    /// Its task is ended from outside, as by a runtime that ends.
    Dies,
}

/// Brings the tokens "1", "2", "3" ..; what is scripted comes first. What it notes lies outside of the model.
#[derive(Debug, Default)]
struct Source {
    under_way: AtomicU64,
    requests: AtomicU64,
    generation: AtomicU64,
    script: Mutex<VecDeque<Fetch>>,
}

impl TokenSource for Arc<Source> {
    fn fetch<'a>(
        &'a self,
        _request: FetchRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + 'a>> {
        assert_eq!(self.under_way.fetch_add(1, SeqCst), 0, "two flights at once");
        let number = self.requests.fetch_add(1, SeqCst) + 1;
        let next = self.script.lock().unwrap().pop_front();
        let landing = UnderWay(self);
        Box::pin(async move {
            let _landing = landing;
            rest().await;
            match next {
                None => AccessToken::new(number.to_string(), Some(Duration::from_secs(100))),
                Some(Fetch::Fails) => Err(AuthError::new(ErrorKind::Unavailable, "down")),
                Some(Fetch::Dies) => {
                    die();
                    std::future::pending().await
                }
            }
        })
    }

    fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }
}

struct UnderWay<'a>(&'a Source);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
    }
}

/// Gives the others a turn.
async fn rest() {
    let mut rested = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut rested, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn refresher(script: &[Fetch]) -> (Arc<Source>, Arc<Refresher>) {
    let source = Arc::new(Source::default());
    source.script.lock().unwrap().extend(script);
    let policy = RefreshPolicy::default().attempts(1);
    let refresher = Refresher::new(Box::new(Arc::clone(&source)), policy, Timepiece::new(Clock::Tokio));
    (source, Arc::new(refresher))
}

fn with_a_token() -> (Arc<Source>, Arc<Refresher>, Arc<Issued>) {
    let (source, refresher) = refresher(&[]);
    let issued = token(Acquisition::of_any(&refresher, None));
    join_tasks();
    (source, refresher, issued)
}

fn token(acquisition: Acquisition) -> Arc<Issued> {
    block_on(acquisition).unwrap()
}

fn beside(refresher: &Arc<Refresher>, act: impl FnOnce(&Arc<Refresher>) + Send + 'static) -> thread::JoinHandle<()> {
    let refresher = Arc::clone(refresher);
    thread::spawn(move || act(&refresher))
}

/// Compares what the store counted with what the source saw, and sees that nobody holds the refresher any more.
fn end(source: &Source, refresher: Arc<Refresher>, issued: u64, failures: u64) {
    join_tasks();
    let record = refresher.store.record();
    assert_eq!((record.issued, record.failures), (issued, failures), "the counters disagree");
    assert_eq!(source.requests.load(SeqCst), issued + failures, "the counters disagree");
    let left = Arc::downgrade(&refresher);
    drop(refresher);
    assert_eq!(Weak::strong_count(&left), 0, "something is left running");
}

#[test]
fn t1_two_cold_callers_cause_one_token_request() {
    check(|| {
        let (source, refresher) = refresher(&[]);
        let other = beside(&refresher, |refresher| _ = token(Acquisition::of_any(refresher, None)));
        token(Acquisition::of_any(&refresher, None));
        other.join().unwrap();
        end(&source, refresher, 1, 0);
    });
}

#[test]
fn t3_two_cold_callers_share_an_error() {
    check(|| {
        let (source, refresher) = refresher(&[Fetch::Fails]);
        let other = beside(&refresher, |refresher| {
            assert!(block_on(Acquisition::of_any(refresher, None)).is_err());
        });
        assert!(block_on(Acquisition::of_any(&refresher, None)).is_err());
        other.join().unwrap();
        end(&source, refresher, 0, 1);
    });
}

#[test]
fn s8_a_caller_who_gives_up_takes_nothing_from_the_others() {
    check(|| {
        let (source, refresher) = refresher(&[]);
        let other = beside(&refresher, |refresher| {
            drop(Acquisition::of_any(refresher, None));
            let mut given_up = pin!(Acquisition::of_any(refresher, None));
            let _ = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        token(Acquisition::of_any(&refresher, None));
        other.join().unwrap();
        end(&source, refresher, 1, 0);
    });
}

#[test]
fn t2_who_waited_for_a_flight_that_died_hears_of_it_and_the_next_starts_anew() {
    check(|| {
        let (source, refresher) = refresher(&[Fetch::Dies]);
        let hears = |refresher: &Arc<Refresher>| match block_on(Acquisition::of_any(refresher, None)) {
            Ok(issued) => assert_eq!(issued.token.expose_secret(), "2"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Aborted),
        };
        let other = beside(&refresher, hears);
        hears(&refresher);
        other.join().unwrap();
        token(Acquisition::of_any(&refresher, None));
        end(&source, refresher, 1, 1);
    });
}

#[test]
fn t12_the_last_handle_dropped_leaves_the_flight_to_end_and_nothing_else() {
    check(|| {
        let (source, refresher) = refresher(&[]);
        let left = Arc::downgrade(&refresher);
        let mut given_up = Box::pin(Acquisition::of_any(&refresher, None));
        let _ = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(refresher);
        drop(given_up);
        join_tasks();
        assert_eq!(Weak::strong_count(&left), 0, "something is left running");
        assert_eq!(source.requests.load(SeqCst), 1);
    });
}

#[test]
fn r2_two_rejections_of_one_token_cause_one_token_request() {
    check(|| {
        let (source, refresher, issued) = with_a_token();
        let heal = |refresher: &Arc<Refresher>, ordinal| {
            assert_eq!(refresher.store.rejected(ordinal, refresher.now(), 0), Course::Renew);
            assert_eq!(token(Acquisition::of_next(refresher, None)).token.expose_secret(), "2");
        };
        let ordinal = issued.ordinal;
        let other = beside(&refresher, move |refresher| heal(refresher, ordinal));
        heal(&refresher, ordinal);
        other.join().unwrap();
        end(&source, refresher, 2, 0);
    });
}

#[test]
fn r2_a_rejection_during_a_refresh_takes_what_the_refresh_brings() {
    check(|| {
        let (source, refresher, issued) = with_a_token();
        let other = beside(&refresher, |refresher| _ = token(Acquisition::forced(refresher)));
        refresher.store.rejected(issued.ordinal, refresher.now(), 0);
        let next = token(Acquisition::of_next(&refresher, None));
        assert!(next.ordinal > issued.ordinal, "a retired token was handed out");
        other.join().unwrap();
        let requests = source.requests.load(SeqCst);
        assert!(requests <= 3, "the refresh may come before the rejection, during its flight, or after");
        end(&source, refresher, requests, 0);
    });
}

#[test]
fn t14_a_rotation_during_a_flight_is_not_forgotten() {
    check(|| {
        let (source, refresher, issued) = with_a_token();
        let other = beside(&refresher, |refresher| _ = token(Acquisition::forced(refresher)));
        source.generation.store(1, SeqCst);
        refresher.attend(&issued, refresher.now());
        other.join().unwrap();
        join_tasks();
        let current = token(Acquisition::of_any(&refresher, None));
        join_tasks();
        assert!(
            !current.needs_attention(refresher.now(), 1) || refresher.store.record().issued > current.ordinal.into()
        );
        let requests = source.requests.load(SeqCst);
        end(&source, refresher, requests, 0);
    });
}

#[test]
fn t2_a_flight_that_is_taken_for_dead_while_it_lands_counts_once() {
    check(|| {
        let (source, refresher) = refresher(&[]);
        let Ok(Access::Soon(mut waiter)) = refresher.ask(Trigger::Missing) else { panic!("no flight") };
        refresher.abandon(waiter.flight());
        match block_on(poll_fn(|cx| waiter.poll(cx))) {
            Ok(issued) => assert_eq!(issued.ordinal, 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Aborted),
        }
        join_tasks();
        let issued = refresher.store.record().issued;
        end(&source, refresher, issued, 1 - issued);
    });
}

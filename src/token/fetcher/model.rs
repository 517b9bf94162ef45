//! Callers and the tasks of their fetches in every order, checked with loom and shuttle.

#![expect(clippy::unwrap_used, reason = "a model may panic: that is how it tells")]

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Mutex, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use super::*;
use crate::token::{
    AcquireToken,
    sync::model::{block_on, check, die, join_tasks, thread},
};

#[derive(Clone, Copy, Debug)]
enum Fetch {
    Fails,
    /// Its task is ended from outside, as by a runtime that ends.
    Dies,
}

/// Issues the tokens "1", "2", "3" and so on, after what is scripted. What it counts is not part of the model.
#[derive(Debug, Default)]
struct Source {
    under_way: AtomicU64,
    requests: AtomicU64,
    generation: AtomicU64,
    script: Mutex<VecDeque<Option<Fetch>>>,
}

impl TokenSource for Arc<Source> {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        assert_eq!(self.under_way.fetch_add(1, SeqCst), 0, "two fetches at once");
        let number = self.requests.fetch_add(1, SeqCst) + 1;
        let next = self.script.lock().unwrap().pop_front().flatten();
        let ends = UnderWay(self);
        Box::pin(async move {
            let _ends = ends;
            rest().await;
            match next {
                None => AccessToken::new(number.to_string(), Some(Duration::from_secs(1_000))),
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

fn fetcher(script: &[Option<Fetch>]) -> (Arc<Source>, Arc<Fetcher>) {
    let source = Arc::new(Source::default());
    source.script.lock().unwrap().extend(script);
    let policy = RefreshPolicy::default().attempts(1);
    (Arc::clone(&source), Arc::new(Fetcher::new(Box::new(source), policy, None, "")))
}

/// A fetcher whose current token is "1"; what is scripted comes then.
fn with_a_token(script: &[Option<Fetch>]) -> (Arc<Source>, Arc<Fetcher>, Arc<CachedToken>) {
    let (source, fetcher) = fetcher(&[&[None], script].concat());
    let token = block_on(AcquireToken::any(&fetcher)).unwrap();
    join_tasks();
    (source, fetcher, token)
}

fn text(acquired: &Result<Arc<CachedToken>, AuthError>) -> Option<&str> {
    acquired.as_ref().ok().map(|token| token.token.expose_secret())
}

/// What a rejected request that carried version 1 is replayed with.
fn successor(fetcher: &Arc<Fetcher>) -> Result<Arc<CachedToken>, NotReplayed> {
    let sent = SentWith { version: 1, at: time::instant(), is_replay: false };
    let acquired = match fetcher.rejected(sent, true) {
        Renewal::ReplayNow => block_on(AcquireToken::any(fetcher)),
        Renewal::Wait(waiter) => block_on(AcquireToken::successor(fetcher, 1, waiter)),
        Renewal::Return(reason) => return Err(reason),
    };
    acquired.map_err(|_| NotReplayed::FetchFailed)
}

fn beside(fetcher: &Arc<Fetcher>, act: impl FnOnce(&Arc<Fetcher>) + Send + 'static) -> thread::JoinHandle<()> {
    let fetcher = Arc::clone(fetcher);
    thread::spawn(move || act(&fetcher))
}

/// Compares the counts of the cache with those of the source, and checks that nothing holds the fetcher any more.
fn end(source: &Source, fetcher: Arc<Fetcher>, issued: u64, failures: u64) {
    join_tasks();
    let record = fetcher.cache.record();
    assert_eq!((record.issued, record.failures), (issued, failures), "the counters disagree");
    assert_eq!(source.requests.load(SeqCst), issued + failures, "the counters disagree");
    let left = Arc::downgrade(&fetcher);
    drop(fetcher);
    assert_eq!(Weak::strong_count(&left), 0, "something is left running");
}

#[test]
fn t1_two_cold_callers_cause_one_token_request() {
    check(|| {
        let (source, fetcher) = fetcher(&[]);
        let other = beside(&fetcher, |fetcher| _ = block_on(AcquireToken::any(fetcher)).unwrap());
        block_on(AcquireToken::any(&fetcher)).unwrap();
        other.join().unwrap();
        end(&source, fetcher, 1, 0);
    });
}

#[test]
fn t3_two_cold_callers_share_an_error() {
    check(|| {
        let (source, fetcher) = fetcher(&[Some(Fetch::Fails)]);
        let other = beside(&fetcher, |fetcher| assert!(block_on(AcquireToken::any(fetcher)).is_err()));
        assert!(block_on(AcquireToken::any(&fetcher)).is_err());
        other.join().unwrap();
        end(&source, fetcher, 0, 1);
    });
}

#[test]
fn s8_a_caller_who_gives_up_takes_nothing_from_the_others() {
    check(|| {
        let (source, fetcher) = fetcher(&[]);
        let other = beside(&fetcher, |fetcher| {
            drop(AcquireToken::any(fetcher));
            let mut given_up = pin!(AcquireToken::any(fetcher));
            let _ = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        block_on(AcquireToken::any(&fetcher)).unwrap();
        other.join().unwrap();
        end(&source, fetcher, 1, 0);
    });
}

#[test]
fn t2_a_caller_hears_that_its_fetch_was_aborted_and_the_next_one_starts_anew() {
    check(|| {
        let (source, fetcher) = fetcher(&[Some(Fetch::Dies)]);
        let hears = |fetcher: &Arc<Fetcher>| match block_on(AcquireToken::any(fetcher)) {
            Ok(token) => assert_eq!(token.token.expose_secret(), "2"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Aborted),
        };
        let other = beside(&fetcher, hears);
        hears(&fetcher);
        other.join().unwrap();
        block_on(AcquireToken::any(&fetcher)).unwrap();
        end(&source, fetcher, 1, 1);
    });
}

#[test]
fn t2_a_fetch_that_is_given_up_while_it_ends_counts_once() {
    check(|| {
        let (source, fetcher) = fetcher(&[]);
        let Ok(Err(mut waiter)) = fetcher.ask(Trigger::Missing) else { panic!("no fetch was begun") };
        fetcher.finish(waiter.flight(), End::Aborted(AuthError::new(ErrorKind::Aborted, "overdue")));
        match block_on(poll_fn(|cx| waiter.poll(cx))) {
            Ok(token) => assert_eq!(token.version, 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Aborted),
        }
        join_tasks();
        let issued = fetcher.cache.record().issued;
        end(&source, fetcher, issued, 1 - issued);
    });
}

#[test]
fn t12_the_last_handle_dropped_leaves_the_fetch_to_end_and_nothing_else() {
    check(|| {
        let (source, fetcher) = fetcher(&[]);
        let left = Arc::downgrade(&fetcher);
        let mut given_up = Box::pin(AcquireToken::any(&fetcher));
        let _ = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(fetcher);
        drop(given_up);
        join_tasks();
        assert_eq!(Weak::strong_count(&left), 0, "something is left running");
        assert_eq!(source.requests.load(SeqCst), 1);
    });
}

#[test]
fn t14_a_rotation_during_a_fetch_is_not_forgotten() {
    check(|| {
        let (source, fetcher, token) = with_a_token(&[]);
        let other = beside(&fetcher, |fetcher| _ = block_on(AcquireToken::forced(fetcher)).unwrap());
        source.generation.store(1, SeqCst);
        fetcher.refresh_if_due(&token, nanos(token.age(Moment::now())));
        other.join().unwrap();
        join_tasks();
        let current = block_on(AcquireToken::any(&fetcher)).unwrap();
        join_tasks();
        let is_due = current.needs_refresh(nanos(current.age(Moment::now())), 1);
        assert!(!is_due || fetcher.cache.record().issued > current.version.into(), "the rotation was forgotten");
        let requests = source.requests.load(SeqCst);
        end(&source, fetcher, requests, 0);
    });
}

#[test]
fn r5_two_rejected_requests_cause_one_token_request() {
    check(|| {
        let (source, fetcher, _) = with_a_token(&[]);
        let replayed = |fetcher: &Arc<Fetcher>| assert_eq!(successor(fetcher).unwrap().token.expose_secret(), "2");
        let other = beside(&fetcher, replayed);
        replayed(&fetcher);
        other.join().unwrap();
        end(&source, fetcher, 2, 0);
    });
}

#[test]
fn r5_two_rejected_requests_leave_the_token_in_use_if_the_fetch_fails() {
    check(|| {
        let (source, fetcher, _) = with_a_token(&[Some(Fetch::Fails)]);
        let failed = |fetcher: &Arc<Fetcher>| assert_eq!(successor(fetcher).err(), Some(NotReplayed::FetchFailed));
        let other = beside(&fetcher, failed);
        failed(&fetcher);
        other.join().unwrap();
        assert_eq!(text(&block_on(AcquireToken::any(&fetcher))), Some("1"));
        end(&source, fetcher, 1, 1);
    });
}

#[test]
fn r5_a_new_request_beside_a_rejected_one_is_served_even_if_the_fetch_fails() {
    check(|| {
        let (source, fetcher, _) = with_a_token(&[Some(Fetch::Fails)]);
        let other = beside(&fetcher, |fetcher| {
            assert_eq!(text(&block_on(AcquireToken::any(fetcher))), Some("1"));
        });
        assert_eq!(successor(&fetcher).err(), Some(NotReplayed::FetchFailed));
        other.join().unwrap();
        end(&source, fetcher, 1, 1);
    });
}

#[test]
fn r5_a_rejection_during_a_refresh_takes_what_the_refresh_brings() {
    check(|| {
        let (source, fetcher, token) = with_a_token(&[]);
        let other = beside(&fetcher, |fetcher| _ = block_on(AcquireToken::forced(fetcher)).unwrap());
        let next = successor(&fetcher).unwrap();
        assert!(next.version > token.version, "the rejected token was handed out");
        other.join().unwrap();
        let requests = source.requests.load(SeqCst);
        assert!(requests <= 3, "the refresh may come before the rejection, during its fetch, or after");
        end(&source, fetcher, requests, 0);
    });
}

//! One caller's way to a token: ask, wait, look again.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use crate::{
    error::{AuthError, ErrorKind},
    time,
    token::{
        cached::CachedToken,
        fetcher::Fetcher,
        waiters::{Trigger, Waiter},
    },
};

/// The usable token, as soon as there is one.
///
/// Nothing happens before the first poll. Dropping it gives up the place among those who wait, and nothing else.
pub(crate) struct AcquireToken {
    fetcher: Arc<Fetcher>,
    wait: TokenWait,
}

/// The same, for a caller who has the fetcher. Small, since there may be one for each of many thousand requests.
pub(crate) struct TokenWait {
    waiter: Option<Waiter>,
    /// For the end of the caller's patience, or for a fetch whose runtime may have stopped.
    timer: Option<Pin<Box<Sleep>>>,
    /// When the caller gives up, by the clock of requests.
    give_up_at: i64,
    wanted: Wanted,
    /// The version of the rejected token, if `wanted` is its successor.
    rejected: u32,
    /// Whether a fetch in another runtime was aborted under this caller.
    has_restarted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Successor,
    /// One that is fetched from now on.
    New,
}

impl AcquireToken {
    /// For [`TokenHandle::token`](crate::token::TokenHandle::token).
    pub(crate) fn any(fetcher: &Arc<Fetcher>) -> Self {
        Self { fetcher: Arc::clone(fetcher), wait: TokenWait::for_any(fetcher, None) }
    }

    #[cfg(test)]
    pub(crate) fn within(fetcher: &Arc<Fetcher>, max_wait: Option<Duration>) -> Self {
        Self { fetcher: Arc::clone(fetcher), wait: TokenWait::for_any(fetcher, max_wait) }
    }

    #[cfg(test)]
    pub(crate) fn successor(fetcher: &Arc<Fetcher>, version: u32, waiter: Waiter) -> Self {
        Self { fetcher: Arc::clone(fetcher), wait: TokenWait::for_successor(fetcher, version, waiter, None) }
    }

    /// For [`TokenHandle::refresh`](crate::token::TokenHandle::refresh).
    pub(crate) fn forced(fetcher: &Arc<Fetcher>) -> Self {
        Self { fetcher: Arc::clone(fetcher), wait: TokenWait::new(fetcher, Wanted::New, None, None) }
    }
}

impl Future for AcquireToken {
    type Output = Result<Arc<CachedToken>, AuthError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { fetcher, wait } = &mut *self;
        wait.poll(fetcher, cx)
    }
}

impl TokenWait {
    /// For a request.
    pub(crate) fn for_any(fetcher: &Fetcher, max_wait: Option<Duration>) -> Self {
        Self::new(fetcher, Wanted::Any, None, max_wait)
    }

    /// For a request whose token, of this version, was rejected, and that waits for its successor.
    pub(crate) fn for_successor(fetcher: &Fetcher, version: u32, waiter: Waiter, max_wait: Option<Duration>) -> Self {
        Self { rejected: version, ..Self::new(fetcher, Wanted::Successor, Some(waiter), max_wait) }
    }

    fn new(fetcher: &Fetcher, wanted: Wanted, waiter: Option<Waiter>, max_wait: Option<Duration>) -> Self {
        // A wait that the clock cannot count to has no end.
        let nanos = max_wait.and_then(|wait| i64::try_from(wait.as_nanos()).ok());
        let give_up_at = nanos.map_or(NEVER, |nanos| fetcher.cache.clock.passed().saturating_add(nanos));
        Self { waiter, timer: None, give_up_at, wanted, rejected: 0, has_restarted: false }
    }

    /// What is left of the time that the caller is willing to wait.
    pub(crate) fn time_left(&self, fetcher: &Fetcher) -> Option<Duration> {
        (self.give_up_at != NEVER).then(|| {
            let left = self.give_up_at.saturating_sub(fetcher.cache.clock.passed());
            Duration::from_nanos(u64::try_from(left).unwrap_or(0))
        })
    }

    fn trigger(&self) -> Trigger {
        match self.wanted {
            Wanted::Any => Trigger::Missing,
            Wanted::Successor => Trigger::Rejected { version: self.rejected },
            Wanted::New => Trigger::Forced,
        }
    }

    pub(crate) fn poll(
        &mut self,
        fetcher: &Arc<Fetcher>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<CachedToken>, AuthError>> {
        loop {
            let mut waiter = match self.waiter.take() {
                Some(waiter) => waiter,
                None => match fetcher.ask(self.trigger())? {
                    Ok(token) => return Poll::Ready(Ok(token)),
                    Err(waiter) => waiter,
                },
            };
            let Poll::Ready(outcome) = waiter.poll(cx) else {
                let is_time = self.poll_timer(fetcher, &waiter, cx);
                self.waiter = Some(waiter);
                match is_time {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) if self.time_left(fetcher) == Some(Duration::ZERO) => {
                        return Poll::Ready(Err(AuthError::new(ErrorKind::Timeout, OUT_OF_TIME)));
                    }
                    Poll::Ready(Ok(())) => fetcher.abandon_overdue(),
                }
                self.timer = None;
                continue;
            };
            self.timer = None;
            if let Some(result) = self.after_fetch(fetcher, &waiter, outcome.err()) {
                return Poll::Ready(result);
            }
        }
    }

    /// Ready when the caller gives up, when the fetch is overdue, or where neither can be told for want of timers.
    fn poll_timer(&mut self, fetcher: &Fetcher, waiter: &Waiter, cx: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        let timer = if let Some(timer) = &mut self.timer {
            timer
        } else {
            let flight = waiter.flight();
            let until_overdue = || flight.overdue.saturating_duration_since(time::instant());
            let overdue = flight.runs_in_another_runtime().then(until_overdue);
            let Some(wait) = overdue.into_iter().chain(self.time_left(fetcher)).min() else {
                return Poll::Pending;
            };
            self.timer.insert(Box::pin(time::sleep(wait).ok_or_else(time::no_timers)?))
        };
        timer.as_mut().poll(cx).map(Ok)
    }

    /// What a fetch that has ended means for this caller: `None` to ask again.
    fn after_fetch(
        &mut self,
        fetcher: &Fetcher,
        waiter: &Waiter,
        error: Option<AuthError>,
    ) -> Option<Result<Arc<CachedToken>, AuthError>> {
        let Some(error) = error else {
            // A wake-up is a hint: the token may have been rejected since.
            let token = fetcher.cache.usable_at(fetcher.cache.clock.now());
            // What was forced has been done.
            self.wanted = Wanted::Any;
            return token.map(Ok);
        };
        if error.kind() == ErrorKind::Aborted && !self.has_restarted && waiter.flight().runs_in_another_runtime() {
            self.has_restarted = true;
            return None;
        }
        // A token that was retired may be back in use.
        let token = fetcher.cache.usable_at(fetcher.cache.clock.now()).filter(|_| self.wanted == Wanted::Any);
        Some(token.ok_or(error))
    }
}

/// The caller's patience has no end.
const NEVER: i64 = i64::MAX;
const OUT_OF_TIME: &str =
    "no token within max_wait(): the fetch goes on for later requests; allow a longer wait, or none";

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        future::poll_fn,
        sync::{
            Mutex,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
    };

    use tokio::{
        runtime::{Builder, Runtime},
        task::yield_now,
    };

    use super::*;
    use crate::token::{AccessToken, FetchRequest, RefreshPolicy, Renewal, SentWith, TokenSource};

    /// How long a fetch takes, and whether it then fails.
    type Step = (Duration, bool);

    /// Issues the tokens "1", "2", "3" ..; what is scripted comes first.
    #[derive(Default)]
    struct Source {
        script: Mutex<VecDeque<Step>>,
        requests: AtomicU32,
    }

    impl TokenSource for Arc<Source> {
        fn fetch(
            &self,
            _request: FetchRequest,
        ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
            let number = self.requests.fetch_add(1, Relaxed) + 1;
            let (takes, fails) = self.script.lock().unwrap().pop_front().unwrap_or_default();
            Box::pin(async move {
                if let Some(pause) = time::sleep(takes) {
                    pause.await;
                }
                if fails {
                    return Err(AuthError::new(ErrorKind::Unavailable, "down"));
                }
                AccessToken::new(number.to_string(), Some(100 * SECOND))
            })
        }
    }

    fn fetcher(script: impl IntoIterator<Item = Step>) -> (Arc<Source>, Arc<Fetcher>) {
        let source = Arc::new(Source::default());
        source.script.lock().unwrap().extend(script);
        let policy = RefreshPolicy::default().attempts(1);
        (Arc::clone(&source), Arc::new(Fetcher::new(Box::new(source), policy, None, "")))
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    /// Polls once within the runtime, then lets its other tasks begin.
    fn nudge(runtime: &Runtime, acquire: &mut AcquireToken) -> Poll<Result<Arc<CachedToken>, AuthError>> {
        runtime.block_on(async {
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *acquire).poll(cx))).await;
            yield_now().await;
            polled
        })
    }

    fn text(acquired: Result<Arc<CachedToken>, AuthError>) -> Result<String, ErrorKind> {
        acquired.map(|token| token.token.expose_secret().to_owned()).map_err(|error| error.kind())
    }

    /// A request that was sent with this token.
    fn sent_with(version: u32) -> SentWith {
        SentWith { version, at: time::instant(), is_replay: false }
    }

    /// For a request whose token, of this version, was rejected in this runtime.
    fn rejected_in(runtime: &Runtime, fetcher: &Arc<Fetcher>, version: u32) -> AcquireToken {
        let _entered = runtime.enter();
        rejected(fetcher, version)
    }

    fn rejected(fetcher: &Arc<Fetcher>, version: u32) -> AcquireToken {
        match fetcher.rejected(sent_with(version), true) {
            Renewal::Wait(waiter) => AcquireToken::successor(fetcher, version, waiter),
            _ => panic!("nothing to wait for"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn s7_a_caller_gives_up_after_its_wait_and_the_fetch_goes_on() {
        let (source, fetcher) = fetcher([(5 * SECOND, false)]);
        let begin = time::instant();
        let acquire = AcquireToken::within(&fetcher, Some(2 * SECOND));
        assert_eq!(text(acquire.await), Err(ErrorKind::Timeout));
        assert_eq!(begin.elapsed(), 2 * SECOND);
        assert_eq!(text(AcquireToken::any(&fetcher).await), Ok("1".to_owned()));
        assert_eq!((begin.elapsed(), source.requests.load(Relaxed)), (5 * SECOND, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn s7_what_is_left_of_the_wait_is_known_after_the_fetch() {
        let (_, fetcher) = fetcher([(5 * SECOND, false)]);
        for (max_wait, left) in [(Some(7 * SECOND), Some(2 * SECOND)), (None, None), (Some(Duration::MAX), None)] {
            let mut acquire = AcquireToken::within(&fetcher, max_wait);
            assert_eq!(text(poll_fn(|cx| Pin::new(&mut acquire).poll(cx)).await), Ok("1".to_owned()));
            assert_eq!(acquire.wait.time_left(&fetcher), left);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn s8_a_caller_that_is_never_polled_begins_nothing() {
        let (source, fetcher) = fetcher([]);
        drop(AcquireToken::any(&fetcher));
        yield_now().await;
        assert_eq!(source.requests.load(Relaxed), 0);
    }

    #[test]
    fn t2_a_caller_elsewhere_starts_over_when_the_fetch_is_overdue() {
        let (source, fetcher) = fetcher([(SECOND, false)]);
        let (here, there) = (runtime(), runtime());
        assert!(nudge(&there, &mut AcquireToken::any(&fetcher)).is_pending());
        here.block_on(async {
            let begin = time::instant();
            assert_eq!(text(AcquireToken::any(&fetcher).await), Ok("2".to_owned()), "the first is not driven");
            let waited = begin.elapsed();
            assert!((31 * SECOND..32 * SECOND).contains(&waited), "{waited:?}");
        });
        assert_eq!((source.requests.load(Relaxed), fetcher.cache.failures_in_a_row()), (2, 0));
        there.block_on(async { time::sleep(2 * SECOND).unwrap().await });
        assert_eq!(fetcher.cache.current().as_ref().unwrap().token.expose_secret(), "2", "the first comes too late");
    }

    #[test]
    fn s7_a_caller_elsewhere_gives_up_before_the_fetch_is_overdue() {
        let (_, fetcher) = fetcher([(SECOND, false)]);
        let (here, there) = (runtime(), runtime());
        assert!(nudge(&there, &mut AcquireToken::any(&fetcher)).is_pending());
        let acquired = here.block_on(async { AcquireToken::within(&fetcher, Some(3 * SECOND)).await });
        assert_eq!(text(acquired), Err(ErrorKind::Timeout));
    }

    #[test]
    fn t2_a_caller_elsewhere_starts_over_when_the_runtime_ends_but_only_once() {
        let (source, fetcher) = fetcher([(SECOND, false); 2]);
        let (here, there, third) = (runtime(), runtime(), runtime());
        assert!(nudge(&there, &mut AcquireToken::any(&fetcher)).is_pending());
        let [mut waiting, mut other] = [(); 2].map(|()| AcquireToken::any(&fetcher));
        assert!(nudge(&here, &mut waiting).is_pending() && nudge(&here, &mut other).is_pending());
        drop(there);
        assert!(nudge(&third, &mut AcquireToken::any(&fetcher)).is_pending());
        assert!(nudge(&here, &mut waiting).is_pending(), "it joins the next");
        assert_eq!(source.requests.load(Relaxed), 2);
        drop(third);
        assert_eq!(text(here.block_on(waiting)), Err(ErrorKind::Aborted));
        assert_eq!(text(here.block_on(other)), Ok("3".to_owned()), "it was not polled meanwhile");
    }

    #[test]
    fn t2_a_caller_without_a_runtime_hears_that_the_fetch_was_aborted() {
        let (_, fetcher) = fetcher([(SECOND, false)]);
        let there = runtime();
        let mut waiting = AcquireToken::any(&fetcher);
        assert!(nudge(&there, &mut waiting).is_pending());
        drop(there);
        let polled = Pin::new(&mut waiting).poll(&mut Context::from_waker(std::task::Waker::noop()));
        let Poll::Ready(acquired) = polled else { panic!("still waiting") };
        assert_eq!(text(acquired), Err(ErrorKind::Aborted));
    }

    #[test]
    fn t2_a_rejected_request_elsewhere_starts_over_and_does_not_take_the_rejected_token() {
        let (_, fetcher) = fetcher([(Duration::ZERO, false), (SECOND, false)]);
        let (here, there) = (runtime(), runtime());
        here.block_on(AcquireToken::any(&fetcher)).unwrap();
        assert!(nudge(&there, &mut rejected_in(&there, &fetcher, 1)).is_pending());
        fetcher.cache.accepted(sent_with(1));
        let mut waiting = rejected_in(&here, &fetcher, 1);
        assert!(nudge(&here, &mut waiting).is_pending());
        drop(there);
        assert_eq!(text(here.block_on(waiting)), Ok("3".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn r5_a_request_that_waits_for_the_successor_of_a_retired_token_goes_on_with_it_if_the_fetch_fails() {
        let (_, fetcher) = fetcher([(Duration::ZERO, false), (SECOND, true)]);
        AcquireToken::any(&fetcher).await.unwrap();
        let [first, second] = [(); 2].map(|()| rejected(&fetcher, 1));
        assert!(fetcher.cache.current().is_none(), "retired");
        let mut new = AcquireToken::any(&fetcher);
        let new = poll_fn(|cx| Pin::new(&mut new).poll(cx));
        assert_eq!(text(new.await), Ok("1".to_owned()));
        for rejected in [first, second] {
            assert_eq!(text(rejected.await), Err(ErrorKind::Unavailable), "r6");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_forced_refresh_that_fails_says_so_though_the_token_stays_in_use() {
        let (_, fetcher) = fetcher([(Duration::ZERO, false), (SECOND, true)]);
        AcquireToken::any(&fetcher).await.unwrap();
        assert_eq!(text(AcquireToken::forced(&fetcher).await), Err(ErrorKind::Unavailable));
        assert_eq!(text(AcquireToken::any(&fetcher).await), Ok("1".to_owned()));
        assert_eq!(text(AcquireToken::forced(&fetcher).await), Ok("3".to_owned()), "t8: whatever the backoff");
    }

    #[tokio::test(start_paused = true)]
    async fn r12_a_token_that_was_invalidated_before_its_waiter_was_polled_is_not_handed_out() {
        let (source, fetcher) = fetcher([]);
        let mut waiting = AcquireToken::any(&fetcher);
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut waiting).poll(cx))).await;
        assert!(polled.is_pending());
        while fetcher.cache.current().is_none() {
            yield_now().await;
        }
        let brought = fetcher.cache.current().clone().unwrap();
        fetcher.invalidate(&brought.token);
        assert_eq!(text(waiting.await), Ok("2".to_owned()));
        assert_eq!(source.requests.load(Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn t8_a_forced_refresh_that_was_done_is_not_forced_again_into_a_backoff() {
        let (source, fetcher) = fetcher([(SECOND, false), (Duration::ZERO, true)]);
        let mut forced = AcquireToken::forced(&fetcher);
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut forced).poll(cx))).await.is_pending());
        let brought = AcquireToken::any(&fetcher).await.unwrap();
        fetcher.invalidate(&brought.token);
        assert_eq!(text(AcquireToken::any(&fetcher).await), Err(ErrorKind::Unavailable));
        assert_eq!(text(forced.await), Err(ErrorKind::Unavailable));
        assert_eq!(source.requests.load(Relaxed), 2);
    }

    const SECOND: Duration = Duration::from_secs(1);
}

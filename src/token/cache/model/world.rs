//! One cache, the threads that use it, and a record of what they see.

use std::{
    collections::HashSet,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use tokio::runtime::Handle;

use crate::{
    error::{AuthError, ErrorKind},
    time::{self, Instant, Moment},
    token::{
        AccessToken, SentWith,
        cache::{AfterRejection, Answer, Asker, End, TokenCache},
        cached::CachedToken,
        policy::Life,
        sync::model::{JoinHandle, block_on, thread},
        waiters::{Flight, Outcome, Trigger, Waiter},
    },
};

/// The steps of the cache, each atomic for other threads. A broken copy replaces one of them.
pub(super) trait Mechanism: Default + Send + Sync + 'static {
    fn ask(&self, cache: &TokenCache, trigger: Trigger, asker: Asker) -> Answer {
        cache.ask(trigger, asker)
    }

    fn wait(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<Outcome> {
        waiter.poll(cx)
    }

    fn after_fetch(&self, cache: &TokenCache, _brought: Arc<CachedToken>) -> Option<Arc<CachedToken>> {
        cache.usable(at(0))
    }

    fn rejected(&self, cache: &TokenCache, sent: SentWith, asker: Asker) -> AfterRejection {
        cache.rejected(sent, true, asker)
    }

    fn note_acceptance(&self, cache: &TokenCache, sent: SentWith, now: Instant) {
        cache.note_acceptance(sent, now);
    }

    fn invalidate(&self, cache: &TokenCache, token: &AccessToken) {
        cache.invalidate(token);
    }

    fn finish(&self, cache: &TokenCache, flight: &Arc<Flight>, end: End) {
        cache.finish(flight, end, at(0));
    }
}

/// The cache as it is.
#[derive(Default)]
pub(super) struct Sound;

impl Mechanism for Sound {}

/// A cache and a record of its use. The record is not part of the model: no thread can be interrupted in it.
pub(super) struct World<M> {
    pub(super) cache: TokenCache,
    pub(super) mechanism: M,
    threads: Mutex<Vec<JoinHandle<()>>>,
    under_way: AtomicU64,
    begun: AtomicU64,
    known: Mutex<Known>,
}

/// What every later caller may rely on. Tokens have the numbers of their fetches.
#[derive(Clone, Default)]
struct Known {
    newest: u64,
    invalidated: HashSet<u64>,
}

impl<M: Mechanism> World<M> {
    /// With a renewal budget of this burst.
    pub(super) fn new(burst: u32) -> Arc<Self> {
        Arc::new(Self {
            cache: TokenCache::new((burst, Duration::from_secs(10)), Duration::from_secs(30)),
            mechanism: M::default(),
            threads: Mutex::default(),
            under_way: AtomicU64::default(),
            begun: AtomicU64::default(),
            known: Mutex::default(),
        })
    }

    /// With a current token, that of fetch 1.
    pub(super) fn with_a_token(burst: u32) -> Arc<Self> {
        let world = Self::new(burst);
        let (_waiter, flight) = world.begin(Trigger::Missing);
        world.complete(&flight, token(1));
        world
    }

    pub(super) fn thread(self: &Arc<Self>, act: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let world = Arc::clone(self);
        self.threads.lock().unwrap().push(thread::spawn(move || act(&world)));
    }

    pub(super) fn ask(&self, trigger: Trigger, seconds: u64) -> Answer {
        let answer = self.mechanism.ask(&self.cache, trigger, asker(0, seconds));
        if let Answer::Begun(..) = answer {
            self.note_begun();
        }
        answer
    }

    /// A request that carried this version was rejected.
    pub(super) fn reject(&self, version: u32, seconds: u64) -> AfterRejection {
        let after = self.mechanism.rejected(&self.cache, sent(version, seconds), asker(0, seconds));
        if let AfterRejection::Begun(..) = after {
            self.note_begun();
        }
        after
    }

    /// A request that carried this version was accepted, as [`TokenCache::accepted`] notes it.
    pub(super) fn accept(&self, version: u32, seconds: u64) {
        if self.cache.awaits_acceptance.load(Relaxed) {
            self.mechanism.note_acceptance(&self.cache, sent(version, seconds), at(seconds).instant);
        }
    }

    /// Notes that a fetch has begun, and gives its number.
    pub(super) fn note_begun(&self) -> u64 {
        assert_eq!(self.under_way.fetch_add(1, SeqCst), 0, "two fetches at once");
        self.begun.fetch_add(1, SeqCst) + 1
    }

    /// Begins a fetch where one has to begin.
    pub(super) fn begin(&self, trigger: Trigger) -> (Waiter, Arc<Flight>) {
        match self.ask(trigger, 0) {
            Answer::Begun(waiter, flight) => (waiter, flight),
            _ => panic!("no fetch was begun"),
        }
    }

    /// Begins a renewal where one has to begin.
    pub(super) fn renew(&self, version: u32, seconds: u64) -> Arc<Flight> {
        match self.reject(version, seconds) {
            AfterRejection::Begun(_, flight) => flight,
            _ => panic!("no fetch was begun"),
        }
    }

    pub(super) fn complete(&self, flight: &Arc<Flight>, end: End) {
        let number = if let End::Token { .. } = end { self.begun.load(SeqCst) } else { 0 };
        self.under_way.store(0, SeqCst);
        self.mechanism.finish(&self.cache, flight, end);
        let mut known = self.known.lock().unwrap();
        known.newest = known.newest.max(number);
    }

    /// Acquires a token as a caller does. A fetch that it begins is run by another thread.
    pub(super) async fn token(self: &Arc<Self>, mut trigger: Trigger) -> Result<Arc<CachedToken>, AuthError> {
        loop {
            let known = self.known();
            let mut waiter = match self.ask(trigger, 0) {
                Answer::Usable(token) => return Ok(known.handed_out(token)),
                Answer::BackingOff(error) => return Err(error),
                Answer::NoRuntime => panic!("there is a runtime"),
                Answer::Joined(waiter) => waiter,
                Answer::Begun(waiter, flight) => self.run(waiter, flight),
            };
            if let Some(token) = self.wait(&mut waiter).await? {
                return Ok(token);
            }
            trigger = Trigger::Missing;
        }
    }

    /// Acquires the token of a replay as a rejected request does; `None` if there is no replay.
    pub(super) fn wait_for_successor(self: &Arc<Self>, version: u32) -> Option<Arc<CachedToken>> {
        let mut waiter = match self.reject(version, 0) {
            AfterRejection::ReplayNow => return Some(self.wait_for_token(Trigger::Missing)),
            AfterRejection::Return(_) => return None,
            AfterRejection::Wait(waiter) => waiter,
            AfterRejection::Begun(waiter, flight) => self.run(waiter, flight),
        };
        block_on(self.wait(&mut waiter)).unwrap()
    }

    fn run(self: &Arc<Self>, waiter: Waiter, flight: Arc<Flight>) -> Waiter {
        let number = self.begun.load(SeqCst);
        self.thread(move |world| world.complete(&flight, token(number)));
        waiter
    }

    /// Waits for the end of the fetch; the token that is usable then, which may be one that came back.
    pub(super) async fn wait(&self, waiter: &mut Waiter) -> Result<Option<Arc<CachedToken>>, AuthError> {
        let brought = poll_fn(|cx| self.mechanism.wait(waiter, cx)).await;
        let known = self.known();
        let token = match brought {
            Ok(brought) => self.mechanism.after_fetch(&self.cache, brought),
            Err(error) => Some(self.cache.usable(at(0)).ok_or(error)?),
        };
        Ok(token.map(|token| known.handed_out(token)))
    }

    /// Blocks until there is a token.
    pub(super) fn wait_for_token(self: &Arc<Self>, trigger: Trigger) -> Arc<CachedToken> {
        block_on(self.token(trigger)).unwrap()
    }

    pub(super) fn invalidate(&self, token: &CachedToken) {
        self.mechanism.invalidate(&self.cache, &token.token);
        self.known.lock().unwrap().invalidated.insert(number(token));
    }

    pub(super) fn join(&self) {
        let next = || self.threads.lock().unwrap().pop();
        while let Some(thread) = next() {
            thread.join().unwrap();
        }
    }

    /// Waits for all threads, and compares what is left with what was done.
    pub(super) fn end(&self) -> Counts {
        self.join();
        let record = self.cache.record();
        assert_eq!(record.issued + record.failures, self.begun.load(SeqCst), "the counters disagree");
        let current = self.cache.current().as_deref().map(number);
        Counts { issued: record.issued, failures: record.failures, current }
    }

    /// Takes what is left of the budget.
    pub(super) fn units_left(&self, seconds: u64) -> usize {
        let mut state = self.cache.state();
        (0..100).take_while(|_| state.budget.take(u32::MAX, true, at(seconds).instant)).count()
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap().clone()
    }
}

impl Known {
    fn handed_out(&self, token: Arc<CachedToken>) -> Arc<CachedToken> {
        assert!(!self.invalidated.contains(&number(&token)), "an invalidated token was handed out");
        assert!(number(&token) >= self.newest, "a newer token was displaced");
        token
    }
}

/// What is left when all threads have come to their end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) issued: u64,
    pub(super) failures: u64,
    /// The fetch that brought the current token.
    pub(super) current: Option<u64>,
}

/// The token of this fetch.
pub(super) fn token(number: u64) -> End {
    let token = AccessToken::new(number.to_string(), None).unwrap().created_at(at(0));
    let header = token.header(None);
    let [stale_after, usable_for] = [75, 90].map(Duration::from_secs);
    End::Token { token: Box::new(token), header, life: Life { stale_after, usable_for } }
}

pub(super) fn death() -> End {
    End::Aborted(AuthError::new(ErrorKind::Aborted, "gone"))
}

pub(super) fn failure() -> End {
    End::Failed { error: AuthError::new(ErrorKind::Unavailable, "down"), backoff: Duration::from_secs(10) }
}

/// The fetch that brought this token.
pub(super) fn number(token: &CachedToken) -> u64 {
    token.token.expose_secret().parse().unwrap()
}

pub(super) fn asker(generation: u64, seconds: u64) -> Asker {
    Asker { now: at(seconds), generation, runtime: Some(Handle::current().id()) }
}

pub(super) fn sent(version: u32, seconds: u64) -> SentWith {
    SentWith { version, at: at(seconds).instant, is_replay: false }
}

/// On the stopped clock, the same for all threads and in each run.
pub(super) fn at(seconds: u64) -> Moment {
    let passed = Duration::from_secs(seconds);
    Moment { instant: time::instant() + passed, wall: UNIX_EPOCH + passed }
}

//! The state machine alone, on fabricated moments. The names of the tests are its specification.

mod failures;
mod foreign_code;
mod identity;
mod rejections;
mod renewals;

use std::{
    sync::{LazyLock, atomic::AtomicUsize},
    task::{Context, Poll, Wake, Waker},
};

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::{error::ErrorKind, token::waiters::Outcome};

const SECOND: Duration = Duration::from_secs(1);

/// A cache, and the moment when its first token begins to live. A fetch may take 30 s.
struct Scene {
    start: Moment,
    cache: TokenCache,
}

impl Scene {
    fn new() -> Self {
        Self { start: Moment::now(), cache: TokenCache::new((4, 10 * SECOND), 30 * SECOND) }
    }

    /// With a token at the start: version 1, stale after 75 s and usable for 90.
    fn with_a_token() -> Self {
        let scene = Self::new();
        let (_, flight) = scene.begin(Trigger::Missing, 0.0);
        scene.bring(&flight, "1", 0.0);
        scene
    }

    fn at(&self, seconds: f64) -> Moment {
        let passed = Duration::from_secs_f64(seconds);
        Moment { instant: self.start.instant + passed, wall: self.start.wall + passed }
    }

    /// The asker at this time, after so many rotations of the secret.
    fn asker_of(&self, generation: u64, seconds: f64) -> Asker {
        static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().unwrap());
        Asker { now: self.at(seconds), generation, runtime: Some(RUNTIME.handle().id()) }
    }

    fn asker(&self, seconds: f64) -> Asker {
        self.asker_of(0, seconds)
    }

    fn ask(&self, trigger: Trigger, seconds: f64) -> Answer {
        self.cache.ask(trigger, self.asker(seconds))
    }

    /// Begins a fetch where one has to begin.
    fn begin(&self, trigger: Trigger, seconds: f64) -> (Waiter, Arc<Flight>) {
        begun(self.ask(trigger, seconds))
    }

    fn refresh_if_due(&self, generation: u64, seconds: f64) -> Option<Arc<Flight>> {
        self.cache.refresh_if_due(Trigger::Stale, self.asker_of(generation, seconds))
    }

    fn bring(&self, flight: &Arc<Flight>, text: &str, seconds: f64) {
        let token = AccessToken::new(text, None).unwrap().created_at(self.at(seconds));
        let life = Life { stale_after: 75 * SECOND, usable_for: 90 * SECOND };
        let header = token.header(None);
        self.cache.finish(flight, End::Token { token: Box::new(token), header, life }, self.at(seconds));
    }

    /// Fails with a backoff of 10 s.
    fn fail(&self, flight: &Arc<Flight>, seconds: f64) {
        let error = AuthError::new(ErrorKind::Unavailable, "down");
        self.cache.finish(flight, End::Failed { error, backoff: 10 * SECOND }, self.at(seconds));
    }

    fn abort(&self, flight: &Arc<Flight>, seconds: f64) {
        let error = AuthError::new(ErrorKind::Aborted, "gone");
        self.cache.finish(flight, End::Aborted(error), self.at(seconds));
    }

    /// A request that was sent then with this version.
    fn sent(&self, version: u32, seconds: f64) -> SentWith {
        SentWith { version, at: self.at(seconds).instant, is_replay: false }
    }

    fn reject(&self, version: u32, seconds: f64) -> AfterRejection {
        self.cache.rejected(self.sent(version, seconds), true, self.asker(seconds))
    }

    /// Such a request was accepted, at once.
    fn accept(&self, version: u32, seconds: f64) {
        if self.cache.awaits_acceptance.load(Relaxed) {
            self.cache.note_acceptance(self.sent(version, seconds), self.at(seconds).instant);
        }
    }

    /// The text of the token that requests carry then.
    fn in_use(&self, seconds: f64) -> Option<String> {
        self.cache.usable(self.at(seconds)).map(|token| token.token.expose_secret().to_owned())
    }

    /// In backoff from 1 s to 11 s after a forced refresh that failed.
    fn in_backoff() -> Self {
        let scene = Self::with_a_token();
        let (_, flight) = scene.begin(Trigger::Forced, 1.0);
        scene.fail(&flight, 1.0);
        scene
    }

    /// Without a unit at 1 s. The newest token has version 5, and was accepted.
    fn without_budget() -> Self {
        let scene = Self::with_a_token();
        for version in 1..=4 {
            let flight = flight_of(scene.reject(version, 1.0));
            scene.bring(&flight, &(version + 1).to_string(), 1.0);
        }
        scene.accept(5, 1.0);
        scene
    }

    /// The token of version 1 was rejected twice at 1 s; its successor is being fetched.
    fn retired() -> (Self, Arc<Flight>) {
        let scene = Self::with_a_token();
        let flight = flight_of(scene.reject(1, 1.0));
        scene.reject(1, 1.0);
        assert_eq!(scene.in_use(1.0), None);
        (scene, flight)
    }
}

/// What a rejected request has to do.
fn told(after: &AfterRejection) -> &'static str {
    match after {
        AfterRejection::ReplayNow => "replay now",
        AfterRejection::Wait(_) => "wait",
        AfterRejection::Begun(..) => "begun",
        AfterRejection::Return(NotReplayed::Throttled) => "throttled",
        AfterRejection::Return(NotReplayed::FetchFailed) => "fetch failed",
        AfterRejection::Return(_) => "another reason",
    }
}

fn flight_of(after: AfterRejection) -> Arc<Flight> {
    match after {
        AfterRejection::Begun(_, flight) => flight,
        other => panic!("{}", told(&other)),
    }
}

fn begun(answer: Answer) -> (Waiter, Arc<Flight>) {
    match answer {
        Answer::Begun(waiter, flight) => (waiter, flight),
        other => panic!("{}", name(&other)),
    }
}

fn joined(answer: Answer) -> Waiter {
    match answer {
        Answer::Joined(waiter) => waiter,
        other => panic!("{}", name(&other)),
    }
}

fn name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Usable(_) => "usable",
        Answer::Joined(_) => "joined",
        Answer::Begun(..) => "begun",
        Answer::BackingOff(_) => "backing off",
        Answer::NoRuntime => "no runtime",
    }
}

fn poll(waiter: &mut Waiter, waker: Arc<impl Wake + Send + Sync + 'static>) -> Poll<Outcome> {
    waiter.poll(&mut Context::from_waker(&Waker::from(waker)))
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn t1_the_first_caller_begins_a_fetch_and_the_others_join_it() {
    let scene = Scene::new();
    let (_, flight) = scene.begin(Trigger::Missing, 0.0);
    joined(scene.ask(Trigger::Missing, 0.0));
    joined(scene.ask(Trigger::Forced, 0.0));
    joined(scene.ask(Trigger::KeepWarm, 0.0));
    scene.bring(&flight, "1", 0.1);
    assert_eq!(name(&scene.ask(Trigger::Missing, 0.1)), "usable");
}

#[test]
fn t1_a_forced_refresh_fetches_though_the_token_is_good_and_leaves_it_in_use() {
    let scene = Scene::with_a_token();
    let (_, flight) = scene.begin(Trigger::Forced, 1.0);
    assert_eq!(flight.rejected.as_ref().map(AccessToken::expose_secret), Some("1"), "and not the same again");
    assert_eq!(scene.in_use(1.0).as_deref(), Some("1"));
    assert_eq!(scene.cache.fetch_due_in(scene.at(1.0)), None, "one is under way");
}

#[test]
fn t3_everyone_who_waits_is_woken_and_gets_the_same_error() {
    let scene = Scene::new();
    let (mut first, flight) = scene.begin(Trigger::Missing, 0.0);
    let mut second = joined(scene.ask(Trigger::Missing, 0.0));
    let count = Arc::new(Count::default());
    assert!(poll(&mut first, Arc::clone(&count)).is_pending() && poll(&mut second, Arc::clone(&count)).is_pending());
    scene.fail(&flight, 1.0);
    assert_eq!(count.0.load(Relaxed), 2);
    for waiter in [&mut first, &mut second] {
        let Poll::Ready(Err(error)) = poll(waiter, Arc::clone(&count)) else { panic!("still waiting") };
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Unavailable, Some(10 * SECOND)));
    }
}

#[test]
fn t4_a_stale_token_is_refreshed_once_and_again_after_the_backoff() {
    let scene = Scene::with_a_token();
    assert!(scene.refresh_if_due(0, 74.9).is_none());
    let flight = scene.refresh_if_due(0, 75.0).unwrap();
    assert_eq!((flight.trigger, &flight.rejected.is_none()), (Trigger::Stale, &true));
    assert!(scene.refresh_if_due(0, 76.0).is_none(), "one is under way");
    scene.fail(&flight, 76.0);
    assert!(scene.refresh_if_due(0, 85.9).is_none(), "backoff");
    assert_eq!(name(&scene.ask(Trigger::Missing, 85.9)), "usable", "callers do not notice");
    let flight = scene.refresh_if_due(0, 86.0).unwrap();
    scene.bring(&flight, "2", 87.0);
    assert_eq!(scene.in_use(91.0).as_deref(), Some("2"));
    assert!(scene.refresh_if_due(0, 161.9).is_none() && scene.refresh_if_due(0, 162.0).is_some());
}

#[test]
fn t4_a_forced_refresh_that_fails_brings_no_refresh_forward() {
    let scene = Scene::with_a_token();
    let (_, flight) = scene.begin(Trigger::Forced, 1.0);
    scene.fail(&flight, 1.0);
    assert!(scene.refresh_if_due(0, 74.9).is_none() && scene.refresh_if_due(0, 75.0).is_some());
}

#[test]
fn t6_no_token_is_used_beyond_its_usable_age() {
    let scene = Scene::with_a_token();
    assert_eq!(name(&scene.ask(Trigger::Missing, 89.9)), "usable");
    scene.begin(Trigger::Missing, 90.0);
    assert_eq!(scene.in_use(90.0), None);
}

#[test]
fn s1_no_request_takes_the_lock_while_the_successor_is_being_fetched() {
    let scene = Scene::with_a_token();
    let current = scene.cache.current.load_full().unwrap();
    let takes_it = |seconds, generation| current.needs_refresh(nanos(current.age(scene.at(seconds))), generation);
    scene.refresh_if_due(1, 75.0).unwrap();
    assert!(!takes_it(75.0, 1) && !takes_it(104.9, 1));
    assert!(takes_it(105.0, 1), "overdue");
    assert!(takes_it(75.0, 2), "rotated again");
    assert!(!scene.cache.awaits_acceptance.load(Relaxed));
}

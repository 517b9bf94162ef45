//! F2, F3: a search through the orders in which processes can take their steps, and crash, stop or lose an answer.
//!
//! The code under test is the source itself. Its uses of the store and its token requests wait until the search lets one of
//! them happen; time passes only when the search says so. A run is a list of choices. All lists up to a length are tried, the
//! rest of each run is fair, and then the entry has to be in order. Stores that break a rule have to be found.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{pending, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::advance;
use tower_outbound_auth::{
    AuthError, ErrorKind,
    fleet::{Lookup, MemoryStore, SealedToken, SharedTokenSource, StoreFuture, TokenStore},
    token::{AccessToken, FetchRequest, TokenSource},
};

use super::stage::SECOND;

/// What the world knows.
#[derive(Default)]
struct World {
    /// Steps that wait, by process and number.
    waiting: BTreeMap<(usize, u64), Verdict>,
    steps: u64,
    /// Tokens that were issued, by number.
    issued: u64,
    /// The newest token of each process.
    newest: BTreeMap<usize, u64>,
    /// The number of the token in the store, as it was published last.
    current: u64,
    retired: BTreeSet<u64>,
    fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Waits,
    Happens,
    /// It happens, and the answer is lost.
    IsLost,
}

/// A rule that a store breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Broken {
    Nothing,
    PublishesWithoutTheLease,
    NeverEndsALease,
    ForgetsTombstones,
    LeasesTwice,
}

/// The store and the authorization server, as one process sees them.
#[derive(Clone)]
struct Seat {
    process: usize,
    world: Arc<Mutex<World>>,
    store: MemoryStore,
    broken: Broken,
}

impl Seat {
    /// Waits until the search lets this step happen.
    async fn step<T>(&self, step: impl Future<Output = T>) -> T {
        let (verdict, output) = self.judged(step).await;
        if verdict == Verdict::IsLost { pending().await } else { output }
    }

    async fn judged<T>(&self, step: impl Future<Output = T>) -> (Verdict, T) {
        let id = {
            let mut world = self.world.lock().unwrap();
            world.steps += 1;
            let id = (self.process, world.steps);
            world.waiting.insert(id, Verdict::Waits);
            id
        };
        let waiting = Waiting { id, world: Arc::clone(&self.world) };
        let verdict = poll_fn(|_| match self.world.lock().unwrap().waiting.get(&id) {
            Some(Verdict::Waits) | None => Poll::Pending,
            Some(verdict) => Poll::Ready(*verdict),
        })
        .await;
        drop(waiting);
        (verdict, step.await)
    }
}

/// A step that waits; none when it is dropped.
struct Waiting {
    id: (usize, u64),
    world: Arc<Mutex<World>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.world.lock().unwrap().waiting.remove(&self.id);
    }
}

impl TokenStore for Seat {
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
        Box::pin(self.step(async move {
            let lease = if self.broken == Broken::NeverEndsALease { lease * 1_000_000 } else { lease };
            let found = self.store.read_or_lease(key, owner, lease).await?;
            let is_fresh = found.token().is_some_and(|token| !token.fresh_for().is_zero());
            let leased = found.leased() || self.broken == Broken::LeasesTwice && !is_fresh;
            Ok(Lookup::new(found.token().cloned(), leased))
        }))
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.step(self.store.renew(key, owner, lease)))
    }

    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
        Box::pin(self.step(async move {
            let mut published = self.store.publish(key, owner, token).await?;
            if !published && [Broken::PublishesWithoutTheLease, Broken::LeasesTwice].contains(&self.broken) {
                // Over the lease of whoever has it, and over any token.
                let copy = MemoryStore::new();
                copy.read_or_lease(key, owner, SECOND).await?;
                published = copy.publish(key, owner, token).await?;
            }
            if published {
                let mut world = self.world.lock().unwrap();
                let number = world.newest.get(&self.process).copied().unwrap_or_default();
                if number < world.current {
                    world.fault = Some(format!("token {number} replaces token {}", world.current));
                }
                if world.retired.contains(&number) {
                    world.fault = Some(format!("token {number} is published after it was retired"));
                }
                world.current = number;
            }
            Ok(published)
        }))
    }

    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.step(async move {
            let removed = self.store.retire(key, fingerprint, tombstone).await?;
            // The only one that a process is ever told of.
            self.world.lock().unwrap().retired.insert(1);
            if self.broken == Broken::ForgetsTombstones {
                self.store.retire(key, "another", tombstone).await?;
            }
            Ok(removed)
        }))
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(self.step(self.store.release(key, owner)))
    }
}

impl TokenSource for Seat {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(async move {
            let issue = async {
                let mut world = self.world.lock().unwrap();
                world.issued += 1;
                let number = world.issued;
                world.newest.insert(self.process, number);
                number
            };
            match self.judged(issue).await {
                // A token request has a time limit of its own.
                (Verdict::IsLost, _) => Err(AuthError::new(ErrorKind::Unavailable, "the response is lost")),
                (_, number) => AccessToken::new(format!("token-{number}"), Some(100 * SECOND)),
            }
        })
    }
}

type Running = Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send>>;

/// How a run begins.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// No token at all.
    Cold,
    /// A token past 65 % of its lifetime.
    Stale,
    /// A token that the API has rejected: for all processes but the last.
    Rejected,
    /// No token; the last process knows already that the first one to be issued is rejected.
    Told,
}

/// One run.
struct Run {
    world: Arc<Mutex<World>>,
    store: MemoryStore,
    broken: Broken,
    running: BTreeMap<usize, Running>,
    /// Faults that may still happen.
    faults: usize,
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    Step(usize, u64),
    Lose(usize, u64),
    Crash(usize),
    /// Those who wait for a step stand still; the others poll.
    Time(Duration),
}

impl Run {
    async fn new(start: Start, processes: usize, faults: usize, broken: Broken) -> Self {
        fastrand::seed(7);
        let (world, store) = (Arc::default(), MemoryStore::new());
        let mut run = Self { world, store, broken, running: BTreeMap::new(), faults };
        if matches!(start, Start::Stale | Start::Rejected) {
            run.begin(0, None);
            run.finish(30).await;
        }
        if matches!(start, Start::Stale) {
            advance(70 * SECOND).await;
        }
        for process in 1..=processes {
            let is_last = process == processes;
            let is_told = matches!(start, Start::Rejected) && !is_last || matches!(start, Start::Told) && is_last;
            run.begin(process, is_told.then_some("token-1"));
        }
        run
    }

    fn begin(&mut self, process: usize, rejected: Option<&'static str>) {
        let (world, store) = (Arc::clone(&self.world), self.store.clone());
        let seat = Seat { process, world, store, broken: self.broken };
        let source =
            SharedTokenSource::builder(seat.clone(), seat).sealing_key("key", None).identity("a").build().unwrap();
        let request = rejected.map_or_else(FetchRequest::new, |token| {
            FetchRequest::new().with_rejected(AccessToken::new(token, None).unwrap())
        });
        self.running.insert(process, Box::pin(async move { source.fetch(request).await }));
        self.poll(process);
    }

    fn poll(&mut self, process: usize) {
        let Some(running) = self.running.get_mut(&process) else {
            return;
        };
        if let Poll::Ready(result) = running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            if let Some(error) = result.err().filter(|error| error.kind() != ErrorKind::Unavailable) {
                self.world.lock().unwrap().fault = Some(format!("a fetch failed: {error}"));
            }
            self.running.remove(&process);
        }
    }

    fn choices(&self) -> Vec<Choice> {
        let world = self.world.lock().unwrap();
        let steps: Vec<_> = world.waiting.keys().filter(|(process, _)| self.running.contains_key(process)).collect();
        let mut choices: Vec<_> = steps.iter().map(|(process, step)| Choice::Step(*process, *step)).collect();
        let is_still = |process: &usize| steps.iter().any(|(waiting, _)| waiting == process);
        if self.running.keys().any(|process| !is_still(process)) {
            choices.push(Choice::Time(SECOND / 10));
        }
        if self.faults > 0 && !choices.is_empty() {
            choices.push(Choice::Time(SECOND * 41 / 10));
            choices.extend(steps.iter().map(|(process, step)| Choice::Lose(*process, *step)));
            choices.extend(self.running.keys().map(|process| Choice::Crash(*process)));
        }
        choices
    }

    async fn take(&mut self, choice: Choice) {
        match choice {
            Choice::Step(process, step) => self.decide(process, step, Verdict::Happens),
            Choice::Lose(process, step) => {
                self.faults -= 1;
                self.decide(process, step, Verdict::IsLost);
            }
            Choice::Crash(process) => {
                self.faults -= 1;
                self.running.remove(&process);
            }
            Choice::Time(time) => {
                self.faults -= usize::from(time > SECOND);
                advance(time).await;
                let waiting: Vec<_> = self.world.lock().unwrap().waiting.keys().map(|(process, _)| *process).collect();
                let polling: Vec<_> =
                    self.running.keys().filter(|process| !waiting.contains(process)).copied().collect();
                for process in polling {
                    self.poll(process);
                }
            }
        }
    }

    fn decide(&mut self, process: usize, step: u64, verdict: Verdict) {
        self.world.lock().unwrap().waiting.insert((process, step), verdict);
        self.poll(process);
    }

    /// Lets everything happen, for a time. Returns whether all have their token.
    async fn finish(&mut self, tenths: u32) -> bool {
        for _ in 0..tenths {
            // What one step leads to at once.
            for _ in 0..8 {
                let steps: Vec<_> = self.world.lock().unwrap().waiting.keys().copied().collect();
                for (process, step) in steps {
                    self.decide(process, step, Verdict::Happens);
                }
            }
            if self.running.is_empty() {
                return true;
            }
            advance(SECOND / 10).await;
            let all: Vec<_> = self.running.keys().copied().collect();
            for process in all {
                self.poll(process);
            }
        }
        false
    }

    fn fault(&self) -> Option<String> {
        self.world.lock().unwrap().fault.clone()
    }

    /// What has to hold in the end: everybody has a token, and a newcomer can renew it for all.
    async fn verdict(&mut self) -> Result<(), String> {
        let all_done = self.finish(150).await;
        self.fault().map_or(Ok(()), Err)?;
        if !all_done {
            return Err("a process waits for ever".to_owned());
        }
        // It was told of every token that is there, so it has to lead.
        let current = self.world.lock().unwrap().current;
        self.begin(9, (current == 1).then_some("token-1"));
        if current > 1 {
            advance(70 * SECOND).await;
        }
        if !self.finish(60).await {
            return Err("a newcomer waits for more than six seconds".to_owned());
        }
        self.fault().map_or(Ok(()), Err)
    }
}

/// Tries every list of choices. Returns their number, or the first that breaks a rule.
fn search(start: Start, processes: usize, faults: usize, length: usize, broken: Broken) -> Result<usize, String> {
    let (mut list, mut runs) = (Vec::new(), 0);
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (taken, result) = runtime.block_on(async {
            let mut run = Run::new(start, processes, faults, broken).await;
            let (mut taken, mut story) = (Vec::new(), Vec::new());
            while taken.len() < length {
                let choices = run.choices();
                let at: usize = list.get(taken.len()).copied().unwrap_or(0);
                let Some(choice) = choices.get(at) else {
                    break;
                };
                story.push(*choice);
                run.take(*choice).await;
                taken.push((at, choices.len()));
            }
            let result = run.verdict().await.map_err(|fault| format!("{fault}, after {story:?}"));
            (taken, result)
        });
        result?;
        runs += 1;
        // The next list: the last choice that has another.
        let Some(end) = taken.iter().rposition(|(at, of)| at + 1 < *of) else {
            return Ok(runs);
        };
        list = taken.iter().take(end + 1).map(|(at, _)| *at).collect();
        if let Some(at) = list.last_mut() {
            *at += 1;
        }
    }
}

#[test]
fn f2_no_order_of_steps_puts_an_older_token_last_or_holds_a_lease_for_ever() {
    // `FLEET_STEPS=1` looks one step further.
    let more = std::env::var("FLEET_STEPS").map_or(0, |steps| steps.parse().unwrap());
    let mut runs = 0;
    for start in [Start::Cold, Start::Stale, Start::Rejected, Start::Told] {
        for (processes, faults, length) in [(2, 1, 5), (2, 2, 4), (3, 1, 3), (3, 0, 5)] {
            runs += search(start, processes, faults, length + more, Broken::Nothing).unwrap();
        }
    }
    println!("{runs} runs");
    assert!(runs > 2_000, "{runs} runs");
}

#[test]
fn f2_the_search_finds_a_store_that_breaks_a_rule() {
    for (broken, start, fault) in [
        (Broken::PublishesWithoutTheLease, Start::Cold, "replaces token"),
        (Broken::LeasesTwice, Start::Cold, "replaces token"),
        (Broken::NeverEndsALease, Start::Cold, "waits for"),
        (Broken::ForgetsTombstones, Start::Told, "after it was retired"),
    ] {
        let found = search(start, 2, 1, 9, broken).unwrap_err();
        assert!(found.contains(fault), "{broken:?}: {found}");
        println!("{broken:?}: {found}");
    }
}

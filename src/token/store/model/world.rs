//! One store, the threads around it, and an eye on what they see.

use std::{
    collections::HashSet,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    clock::Moment,
    error::{AuthError, ErrorKind},
    token::{
        AccessToken,
        flight::{Flight, Outcome, Trigger, Waiter},
        issued::Issued,
        schedule::Life,
        store::{Answer, Course, End, Store},
        sync::model::{JoinHandle, block_on, thread},
    },
};

/// The steps of the store, each whole for those who look from outside. A broken copy replaces one of them.
pub(super) trait Mechanism: Default + Send + Sync + 'static {
    fn store(&self) -> &Store;

    fn ask(&self, trigger: Trigger, now: Moment) -> Answer {
        self.store().ask(trigger, now, 0)
    }

    fn wait(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<Outcome> {
        waiter.poll(cx)
    }

    fn after_flight(&self, brought: Arc<Issued>) -> Option<Arc<Issued>> {
        self.store().after_flight(brought, START)
    }

    fn rejected(&self, ordinal: u32) -> Course {
        self.store().rejected(ordinal, START, 0)
    }

    fn accepted(&self, ordinal: u32) {
        self.store().accepted(ordinal);
    }

    fn finish(&self, flight: &Arc<Flight>, end: End) {
        self.store().finish(flight, end, START);
    }
}

/// The store as it is.
#[derive(Default)]
pub(super) struct Sound(Store);

impl Mechanism for Sound {
    fn store(&self) -> &Store {
        &self.0
    }
}

/// A mechanism and what was seen of it. To keep this is no step of any thread: it lies outside of the model.
#[derive(Default)]
pub(super) struct World<M> {
    pub(super) mechanism: M,
    threads: Mutex<Vec<JoinHandle<()>>>,
    under_way: AtomicU64,
    begun: AtomicU64,
    known: Mutex<Known>,
}

/// What a caller who comes from now on may rely on. Tokens have the numbers of their flights.
#[derive(Clone, Default)]
struct Known {
    landed: u64,
    retired: HashSet<u64>,
}

impl<M: Mechanism> World<M> {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A world whose current token is that of flight 1.
    pub(super) fn with_a_token() -> Arc<Self> {
        let world = Self::new();
        let (_waiter, flight) = world.begin(Trigger::Missing);
        world.land(&flight, token(1));
        world
    }

    pub(super) fn thread(self: &Arc<Self>, act: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let world = Arc::clone(self);
        self.threads.lock().unwrap().push(thread::spawn(move || act(&world)));
    }

    pub(super) fn ask(&self, trigger: Trigger, now: Moment) -> Answer {
        let answer = self.mechanism.ask(trigger, now);
        if let Answer::Begun(..) = answer {
            self.took_off();
        }
        answer
    }

    /// Notes that a flight has begun, and gives its number.
    pub(super) fn took_off(&self) -> u64 {
        assert_eq!(self.under_way.fetch_add(1, SeqCst), 0, "two flights at once");
        self.begun.fetch_add(1, SeqCst) + 1
    }

    /// Begins a flight where one has to begin.
    pub(super) fn begin(&self, trigger: Trigger) -> (Waiter, Arc<Flight>) {
        match self.ask(trigger, START) {
            Answer::Begun(waiter, flight) => (waiter, flight),
            _ => panic!("no flight was begun"),
        }
    }

    pub(super) fn land(&self, flight: &Arc<Flight>, end: End) {
        let number = self.begun.load(SeqCst);
        self.under_way.store(0, SeqCst);
        self.mechanism.finish(flight, end);
        let mut known = self.known.lock().unwrap();
        known.landed = known.landed.max(number);
    }

    /// A caller's whole way to a token. A flight that it begins is run by a thread of its own.
    pub(super) async fn token(self: &Arc<Self>, mut trigger: Trigger) -> Result<Arc<Issued>, AuthError> {
        loop {
            let known = self.known();
            let mut waiter = match self.ask(trigger, START) {
                Answer::Usable(issued) => return Ok(known.handed_out(issued)),
                Answer::CoolingDown(error) => return Err(error),
                Answer::Joined(waiter) => waiter,
                Answer::Begun(waiter, flight) => {
                    let number = self.begun.load(SeqCst);
                    self.thread(move |world| world.land(&flight, token(number)));
                    waiter
                }
            };
            if let Some(issued) = self.wait(&mut waiter).await? {
                return Ok(issued);
            }
            trigger = Trigger::Missing;
        }
    }

    /// The end of the wait: what the flight brought, if it may still be had.
    pub(super) async fn wait(&self, waiter: &mut Waiter) -> Result<Option<Arc<Issued>>, AuthError> {
        let brought = poll_fn(|cx| self.mechanism.wait(waiter, cx)).await?;
        let known = self.known();
        Ok(self.mechanism.after_flight(brought).map(|issued| known.handed_out(issued)))
    }

    /// For a thread that has nothing else to do.
    pub(super) fn wait_for_token(self: &Arc<Self>, trigger: Trigger) -> Arc<Issued> {
        block_on(self.token(trigger)).unwrap()
    }

    pub(super) fn reject(&self, ordinal: u32) {
        if self.mechanism.rejected(ordinal) == Course::Renew {
            self.known.lock().unwrap().retired.insert(ordinal.into());
        }
    }

    pub(super) fn retire(&self, issued: &Issued) {
        self.mechanism.store().retire_token(&issued.token);
        self.known.lock().unwrap().retired.insert(number(issued));
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
        let record = self.mechanism.store().record();
        assert_eq!(record.issued + record.failures, self.begun.load(SeqCst), "the counters disagree");
        let current = self.mechanism.store().current().as_deref().map(number);
        Counts { issued: record.issued, failures: record.failures, current }
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap().clone()
    }
}

impl Known {
    fn handed_out(&self, issued: Arc<Issued>) -> Arc<Issued> {
        assert!(!self.retired.contains(&number(&issued)), "a retired token was handed out");
        assert!(number(&issued) >= self.landed, "a newer token was displaced");
        issued
    }
}

/// What is left when all threads have come to their end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) issued: u64,
    pub(super) failures: u64,
    /// The flight that brought the current token.
    pub(super) current: Option<u64>,
}

/// The token of this flight.
pub(super) fn token(number: u64) -> End {
    let [refresh, usable, end] = [75, 90, 100].map(at);
    End::Token { token: AccessToken::new(number.to_string(), None).unwrap(), life: Life { refresh, usable, end } }
}

/// A token of this flight that is only for those who waited.
pub(super) fn stillborn(number: u64) -> End {
    let life = Life { refresh: START, usable: START, end: START };
    End::Token { token: AccessToken::new(number.to_string(), None).unwrap(), life }
}

pub(super) fn death() -> End {
    End::Aborted(AuthError::new(ErrorKind::Aborted, "gone"))
}

pub(super) fn failure() -> End {
    let error = AuthError::new(ErrorKind::Unavailable, "down");
    End::Failed { error, cool_down: Duration::from_secs(10) }
}

/// The flight that brought this token.
pub(super) fn number(issued: &Issued) -> u64 {
    issued.token.expose_secret().parse().unwrap()
}

pub(super) fn at(seconds: u64) -> Moment {
    START.after(Duration::from_secs(seconds))
}

pub(super) const START: Moment = Moment::from_nanos(0);

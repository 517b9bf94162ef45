//! The guarantees once more, plain and slow: no tasks, no locks, a list of events in the order of their time.

use tower_outbound_auth::ErrorKind;

use crate::{
    budget::Budget,
    caller::{Caller, Stage},
    fetch::{Backoff, Fetch, Replaced},
    history::{Answer, History, RUN_OUT, Step, What},
    log::{Draws, Entry, Seen},
    server::Server,
    token::Token,
    twist::Twist,
};

/// Why the model came to no end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Two things happened at once, and nothing guarantees in which order.
    Tie(u64),
    /// What the layer drew lies outside of what is guaranteed.
    Disagrees(String),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Step(usize),
    Fetched {
        fetch: u64,
        since: u64,
        answer: Answer,
    },
    TryAgain(u64),
    Deadline(u64),
    /// The step of the call, and which of its answers.
    Answered(usize, u32),
    /// The step of the call, and since when it waits.
    Patience(usize, u64),
    Dropped(usize),
}

/// A layer and its surroundings. Times are in milliseconds.
pub(crate) struct Model<'a> {
    pub(crate) history: &'a History,
    pub(crate) draws: &'a Draws,
    pub(crate) twist: Option<Twist>,
    pub(crate) now: u64,
    pub(crate) last_step: u64,
    pub(crate) pending: Vec<(u64, Event)>,
    log: Vec<Entry>,
    stopped: Option<Stop>,

    pub(crate) server: Server,
    /// Rotations so far.
    pub(crate) generation: u64,
    pub(crate) replaced: Option<Replaced>,
    /// The token that the handle gave last.
    pub(crate) held: Option<u64>,
    pub(crate) warm: bool,
    /// Where the clock last jumped to.
    pub(crate) landed: u64,

    pub(crate) callers: Vec<Caller>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) current: Option<usize>,
    /// Of the newest token, in a row.
    pub(crate) rejections: u32,
    pub(crate) fetch: Option<Fetch>,
    pub(crate) fetches: u64,
    /// Token requests so far.
    pub(crate) asked: usize,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) failures: u64,
    pub(crate) failures_in_a_row: u32,
    pub(crate) last_error: Option<ErrorKind>,
    pub(crate) budget: Budget,
}

impl<'a> Model<'a> {
    /// What should have been seen of the layer.
    pub(crate) fn run(history: &'a History, draws: &'a Draws, twist: Option<Twist>) -> (Vec<Entry>, Option<Stop>) {
        let mut model = Self {
            history,
            draws,
            twist,
            now: 0,
            last_step: 0,
            pending: Vec::new(),
            log: Vec::new(),
            stopped: None,
            server: Server::new(history.endpoint),
            generation: 0,
            replaced: None,
            held: None,
            warm: false,
            landed: 0,
            callers: Vec::new(),
            tokens: Vec::new(),
            current: None,
            rejections: 0,
            fetch: None,
            fetches: 0,
            asked: 0,
            backoff: None,
            failures: 0,
            failures_in_a_row: 0,
            last_error: None,
            budget: Budget::new(history.settings.budget, twist),
        };
        model.schedule();
        while model.stopped.is_none() && model.advance() {}
        model.log.sort();
        (model.log, model.stopped)
    }

    fn schedule(&mut self) {
        let mut at = 0;
        for (number, step) in self.history.steps.iter().enumerate() {
            at += step.after;
            self.pending.push((at, Event::Step(number)));
            if let What::Jump(over) = step.what {
                at += over;
            }
        }
        self.last_step = at + RUN_OUT;
        self.pending.push((self.last_step, Event::Step(self.history.steps.len())));
    }

    /// Lets the next thing happen; false after the last step.
    fn advance(&mut self) -> bool {
        self.forget_what_is_over();
        let Some(next) = self.pending.iter().map(|(at, _)| *at).min() else { return false };
        if self.keeps_warm(next) {
            return true;
        }
        let due: Vec<Event> = self.pending.iter().filter(|(at, _)| *at == next).map(|(_, event)| *event).collect();
        let Some(event) = due.first().copied() else { return false };
        let is_step = |event: &Event| matches!(event, Event::Step(_));
        if due.len() > 1 && !due.iter().all(is_step) {
            self.stop(Stop::Tie(next));
            return false;
        }
        let first = self.pending.iter().position(|(at, _)| *at == next).unwrap_or_default();
        self.pending.remove(first);
        self.now = next;
        self.settle_what_is_due(next);
        self.happen(event);
        !matches!(event, Event::Step(last) if last == self.history.steps.len())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(number) => self.step(number),
            Event::Fetched { since, answer, .. } => self.fetched(since, answer),
            Event::TryAgain(_) => self.attempt(),
            Event::Deadline(_) => self.fail(ErrorKind::Timeout, None),
            Event::Answered(step, _) => {
                if let Some(caller) = self.take_caller(step)
                    && let Stage::Sent { token, status, at } = caller.stage
                {
                    self.answered(caller, token, status, at);
                }
            }
            Event::Patience(step, _) => {
                if let Some(caller) = self.take_caller(step) {
                    self.gave_up(&caller);
                }
            }
            Event::Dropped(step) => {
                let waited = self.take_caller(step).is_some_and(|caller| matches!(caller.stage, Stage::WaitsSince(_)));
                if waited && self.twist == Some(Twist::FetchDiesWithCaller) {
                    self.fetch = None;
                }
            }
        }
    }

    /// Whether another step is to be taken in this moment.
    pub(crate) fn steps_now(&self) -> bool {
        self.pending.iter().any(|(at, event)| *at == self.now && matches!(event, Event::Step(_)))
    }

    /// Whether the clock jumps within so many milliseconds: a pause that was drawn is too little known for that.
    pub(crate) fn jumps_within(&self, after: u64) -> bool {
        self.pending.iter().any(|(at, event)| match event {
            Event::Step(number) if *at <= self.now + after + 1 => {
                matches!(self.history.steps.get(*number), Some(Step { what: What::Jump(_), .. }))
            }
            _ => false,
        })
    }

    /// T5: the current token, if requests may be sent with it.
    pub(crate) fn usable(&self) -> Option<usize> {
        self.current.filter(|current| self.lives(*current) && !self.tokens[*current].retired)
    }

    pub(crate) fn is_invalidated(&self) -> bool {
        self.current.is_none() && !self.tokens.is_empty()
    }

    pub(crate) fn lives(&self, token: usize) -> bool {
        self.now < self.usable_until(&self.tokens[token])
    }

    pub(crate) fn forget_what_is_over(&mut self) {
        let fetch = self.fetch.as_ref().map(|fetch| fetch.number);
        let callers = &self.callers;
        let caller = |step: usize| callers.iter().find(|caller| caller.step == step);
        self.pending.retain(|(_, event)| match *event {
            Event::Step(_) => true,
            Event::Fetched { fetch: number, .. } | Event::TryAgain(number) | Event::Deadline(number) => {
                fetch == Some(number)
            }
            Event::Answered(step, sent) => caller(step).is_some_and(|caller| caller.sent == sent),
            Event::Patience(step, since) => caller(step).is_some_and(|caller| caller.stage == Stage::WaitsSince(since)),
            Event::Dropped(step) => caller(step).is_some(),
        });
    }

    fn take_caller(&mut self, step: usize) -> Option<Caller> {
        let position = self.callers.iter().position(|caller| caller.step == step)?;
        Some(self.callers.remove(position))
    }

    pub(crate) fn later(&mut self, after: u64, event: Event) {
        self.pending.push((self.now + after, event));
    }

    pub(crate) fn end(&mut self, caller: &Caller, how: String) {
        self.note(Seen::Ended { step: caller.step, how });
    }

    pub(crate) fn note(&mut self, what: Seen) {
        self.log.push(Entry { at: self.now, what });
    }

    pub(crate) fn stop(&mut self, why: Stop) {
        self.stopped.get_or_insert(why);
    }
}

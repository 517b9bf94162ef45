//! The promises once more, as plain and slow as can be: no tasks, no locks, a list of events in the order of their time.

use tower_outbound_auth::{ErrorKind, token::TokenState};

use crate::{
    caller::{Caller, Stage},
    flight::{CoolDown, Flight, millis},
    history::{Answer, History, Path, RUN_OUT, Step, What},
    log::{Draws, Entry, Seen, status},
    server::Server,
    storm::Storm,
    token::Token,
    twist::Twist,
};

/// Why the model came to no end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Two things happened at once, and nobody promises in which order.
    Tie(u64),
    /// What the layer drew was not its to draw.
    Disagrees(String),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Step(usize),
    Fetched {
        flight: u64,
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
    /// The token that the handle gave last.
    pub(crate) held: Option<u64>,
    pub(crate) warm: bool,
    /// Where the clock last jumped to.
    pub(crate) landed: u64,

    pub(crate) callers: Vec<Caller>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) current: Option<usize>,
    pub(crate) flight: Option<Flight>,
    pub(crate) flights: u64,
    /// Token requests so far.
    pub(crate) asked: usize,
    pub(crate) cool_down: Option<CoolDown>,
    pub(crate) failures: u64,
    pub(crate) failures_in_a_row: u32,
    pub(crate) last_error: Option<ErrorKind>,
    pub(crate) storm: Storm,
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
            held: None,
            warm: false,
            landed: 0,
            callers: Vec::new(),
            tokens: Vec::new(),
            current: None,
            flight: None,
            flights: 0,
            asked: 0,
            cool_down: None,
            failures: 0,
            failures_in_a_row: 0,
            last_error: None,
            storm: Storm::default(),
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
        self.happen(event);
        !matches!(event, Event::Step(last) if last == self.history.steps.len())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(number) => self.step(number),
            Event::Fetched { since, answer, .. } => self.fetched(since, answer),
            Event::TryAgain(_) => self.try_once(),
            Event::Deadline(_) => self.fail(ErrorKind::Timeout, None),
            Event::Answered(step, _) => {
                if let Some(caller) = self.take_caller(step)
                    && let Stage::Sent { token, status } = caller.stage
                {
                    self.answered(caller, token, status);
                }
            }
            Event::Patience(step, _) => {
                if let Some(caller) = self.take_caller(step) {
                    self.gave_up(&caller);
                }
            }
            Event::Dropped(step) => {
                let waited = self.take_caller(step).is_some_and(|caller| matches!(caller.stage, Stage::WaitsSince(_)));
                if waited && self.twist == Some(Twist::FlightDiesWithCaller) {
                    self.flight = None;
                }
            }
        }
    }

    fn step(&mut self, number: usize) {
        self.status(number);
        let Some(step) = self.history.steps.get(number) else { return };
        match step.what {
            What::Call { path, latency, dropped_after } => {
                let caller = self.caller(number, Some((path, latency)), self.history.max_wait, dropped_after);
                self.ask(caller, false);
            }
            What::Ask { forced, dropped_after } => {
                let caller = self.caller(number, None, None, dropped_after);
                self.ask(caller, forced);
            }
            What::Reject => {
                let current = self.current.filter(|current| self.held == Some(self.tokens[*current].text));
                if let Some(current) = current {
                    self.retire(current);
                }
            }
            What::Revoke => self.server.revoke(),
            What::Takes(any) => self.server.take(any),
            What::Endpoint(endpoint) => self.server.endpoint = endpoint,
            What::Rotate => self.generation += 1,
            What::Jump(over) => self.jump(self.now + over),
            What::Warm(warm) => self.warm = warm,
        }
    }

    fn caller(
        &mut self,
        step: usize,
        request: Option<(Path, u64)>,
        patience: Option<u64>,
        dropped_after: Option<u64>,
    ) -> Caller {
        if let Some(after) = dropped_after {
            self.later(after, Event::Dropped(step));
        }
        Caller { step, request, patience, stage: Stage::Begins, rejected: None, sent: 0 }
    }

    /// What was due meanwhile happens when the clock has landed; several such things would be a tie.
    fn jump(&mut self, to: u64) {
        self.forget_what_is_over();
        let mut late = false;
        for (at, event) in &mut self.pending {
            if !matches!(event, Event::Step(_)) && *at < to {
                *at = to;
                late = true;
            }
        }
        if late && self.warm {
            self.stop(Stop::Tie(to));
        }
        self.landed = to;
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

    fn status(&mut self, step: usize) {
        let token = self.current.map(|current| &self.tokens[current]);
        let state = match token {
            None => TokenState::Missing,
            Some(token) if self.now >= self.usable_until(token) => TokenState::Expired,
            Some(token) if self.now >= self.aging_from(token) => TokenState::Stale,
            Some(_) => TokenState::Fresh,
        };
        let expires_in = token.and_then(|token| token.ends_in(self.now)).map(millis);
        let says = status(state, expires_in, self.tokens.len() as u64, self.failures, self.last_error);
        self.note(Seen::Status { step, says });
    }

    /// T5: the current token, if it may still be handed out.
    pub(crate) fn usable(&self) -> Option<usize> {
        self.current.filter(|current| self.now < self.usable_until(&self.tokens[*current]))
    }

    fn forget_what_is_over(&mut self) {
        let flight = self.flight.as_ref().map(|flight| flight.number);
        let callers = &self.callers;
        let caller = |step: usize| callers.iter().find(|caller| caller.step == step);
        self.pending.retain(|(_, event)| match *event {
            Event::Step(_) => true,
            Event::Fetched { flight: number, .. } | Event::TryAgain(number) | Event::Deadline(number) => {
                flight == Some(number)
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

//! What a step of a history does to the model.

use tower_outbound_auth::token::TokenState;

use crate::{
    caller::{Caller, Stage, Wants},
    fetch::{Replaced, millis},
    history::What,
    log::{Seen, status},
    model::{Event, Model, Stop},
    twist::Twist,
};

impl Model<'_> {
    pub(crate) fn step(&mut self, number: usize) {
        self.status(number);
        let Some(step) = self.history.steps.get(number) else { return };
        match step.what {
            What::Call { path, latency, dropped_after } => {
                let wants = Wants::Request(path, latency);
                let caller = self.caller(number, wants, self.history.max_wait, dropped_after);
                self.ask(caller);
            }
            What::Ask { refresh, dropped_after } => {
                let wants = if refresh { Wants::Refresh } else { Wants::Token };
                let caller = self.caller(number, wants, None, dropped_after);
                self.ask(caller);
            }
            What::Invalidate => self.invalidate(),
            What::Revoke => self.server.revoke(),
            What::Takes(any) => self.server.take(any),
            What::Endpoint(endpoint) => self.server.endpoint = endpoint,
            What::Rotate => {
                self.replaced = Some(Replaced { generation: self.generation, at: self.now });
                self.generation += 1;
            }
            What::Jump(over) => self.jump(self.now + over),
            What::Warm(warm) => self.warm = warm,
        }
    }

    fn caller(&mut self, step: usize, wants: Wants, patience: Option<u64>, dropped_after: Option<u64>) -> Caller {
        if let Some(after) = dropped_after {
            self.later(after, Event::Dropped(step));
        }
        Caller { step, wants, patience, stage: Stage::Begins, rejected: None, sent: 0 }
    }

    /// R12: whatever the budget.
    fn invalidate(&mut self) {
        let held = |current: &usize| self.held == Some(self.tokens[*current].text);
        let Some(current) = self.current.filter(held) else { return };
        if self.twist != Some(Twist::InvalidatedIsUsed) {
            self.tokens[current].retired = false;
            self.current = None;
        }
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

    fn status(&mut self, step: usize) {
        let token = self.current.map(|current| &self.tokens[current]).filter(|token| !token.retired);
        let state = match token {
            None => TokenState::Missing,
            Some(token) if self.now >= self.usable_until(token) => TokenState::Expired,
            Some(token) if self.now >= self.stale_from(token) => TokenState::Stale,
            Some(_) => TokenState::Fresh,
        };
        let expires_in = token.and_then(|token| token.ends_in(self.now)).map(millis);
        let says = status(state, expires_in, self.tokens.len() as u64, self.failures, self.last_error);
        self.note(Seen::Status { step, says });
    }
}

//! T10 in plain words: who keeps a token warm asks on his own, when a request would have had to.

use std::time::Duration;

use crate::{
    history::What,
    model::{Event, Model, Stop},
    twist::Twist,
};

impl Model<'_> {
    /// Whether `keep_warm` asks before the next thing happens. It is free to take a breath of a second, so the layer's own
    /// token request tells when, if that is neither too early nor too late.
    pub(crate) fn keeps_warm(&mut self, next: u64) -> bool {
        if !self.warm || self.flight.is_some() || self.twist == Some(Twist::StaysCold) {
            return false;
        }
        let (earliest, latest) = self.warm_due();
        let latest = if earliest < self.landed { latest.max(self.landed) } else { latest };
        match self.draws.asked.get(self.asked) {
            Some(asked) if *asked < next && (earliest..=latest).contains(asked) => {
                self.now = self.now.max(*asked);
                if self.cools_down() {
                    self.stop(Stop::Disagrees(format!("keep_warm asks at {asked} ms, in a cool-down")));
                }
                self.begin_flight(false);
                true
            }
            asked => {
                if asked == Some(&next) && earliest <= next && self.changes_at(next) {
                    self.stop(Stop::Tie(next));
                }
                if latest < next {
                    self.stop(Stop::Disagrees(format!("keep_warm should have asked within {earliest}..{latest} ms")));
                }
                false
            }
        }
    }

    /// Whether anything happens then but callers that want a token, who would ask for it all the same.
    fn changes_at(&self, moment: u64) -> bool {
        self.pending.iter().filter(|(at, _)| *at == moment).any(|(_, event)| match event {
            Event::Step(number) => self
                .history
                .steps
                .get(*number)
                .is_some_and(|step| !matches!(step.what, What::Call { .. } | What::Ask { .. })),
            _ => true,
        })
    }

    /// When it has to begin a flight: not before, and not much later.
    fn warm_due(&self) -> (u64, u64) {
        let mut due = 0;
        let mut slack = BREATH;
        if let Some(current) = self.current {
            let token = &self.tokens[current];
            due = self.aging_from(token);
            if self.generation > token.generation {
                (due, slack) = (0, due.min(self.now) + GLANCE);
            }
        }
        let mut latest = due;
        if let Some(cool_down) = &self.cool_down {
            if self.generation > cool_down.generation {
                slack = slack.max(GLANCE);
            } else {
                due = due.max(millis(cool_down.earliest));
            }
            latest = latest.max(millis(cool_down.latest));
        }
        (due, latest.max(self.now) + slack)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// It rests for a second after each flight, and timers are a millisecond wide.
const BREATH: u64 = 1_002;
/// Nobody tells it of a rotation.
const GLANCE: u64 = 31_002;

//! T10: `keep_warm` asks by itself, when a request would have had to.

use std::time::Duration;

use crate::{
    fetch::Cause,
    history::What,
    model::{Event, Model, Stop},
    twist::Twist,
};

impl Model<'_> {
    /// Whether `keep_warm` asks before the next thing happens. It may be a second late, so the layer's own token request
    /// tells when, if that is neither too early nor too late.
    pub(crate) fn keeps_warm(&mut self, next: u64) -> bool {
        if !self.warm || self.fetch.is_some() || self.twist == Some(Twist::StaysCold) {
            return false;
        }
        let (earliest, latest) = self.warm_due();
        let latest = if earliest < self.landed { latest.max(self.landed) } else { latest };
        match self.draws.asked.get(self.asked) {
            Some(asked) if *asked < next && (earliest..=latest).contains(asked) => {
                self.now = self.now.max(*asked);
                self.settle_what_is_due(self.now);
                if self.backs_off() {
                    self.stop(Stop::Disagrees(format!("keep_warm asks at {asked} ms, in a backoff")));
                }
                self.begin_fetch(Cause::Missing, None);
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
                .is_some_and(|step| !matches!(step.what, What::Call { .. } | What::Ask { refresh: false, .. })),
            _ => true,
        })
    }

    /// When it has to begin a fetch: not before, and not much later.
    fn warm_due(&self) -> (u64, u64) {
        let mut due = 0;
        let mut slack = APART;
        if let Some(current) = self.current {
            let token = &self.tokens[current];
            due = self.stale_from(token);
            if self.generation > token.generation {
                (due, slack) = (0, due.min(self.now) + POLL);
            }
        }
        let mut latest = due;
        if let Some(backoff) = &self.backoff {
            if self.generation > backoff.generation {
                slack = slack.max(POLL);
            } else {
                due = due.max(millis(backoff.earliest));
            }
            latest = latest.max(millis(backoff.latest));
        }
        (due, latest.max(self.now) + slack)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Its fetches are a second apart, and timers are a millisecond wide.
const APART: u64 = 1_002;
/// Nobody tells it of a rotation: it has to look.
const POLL: u64 = 31_002;

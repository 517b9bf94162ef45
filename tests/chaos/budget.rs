//! The renewal budget of one layer (guarantee R5), as far as it can be seen from outside. What cannot be seen counts in the
//! layer's favor.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetSettings {
    /// How long it takes to regain a unit.
    pub(crate) refill: Duration,
    /// Where rejected requests are never replayed, no unit comes back.
    pub(crate) replays: bool,
}

#[derive(Debug)]
pub(crate) struct Budget {
    settings: BudgetSettings,
    bank: f64,
    counted: Instant,
    out: Vec<Renewal>,
}

/// A fetch that a rejection caused. It holds one unit.
#[derive(Debug)]
struct Renewal {
    /// The token that it brought; none while it is under way.
    token: Option<u64>,
    first_accepted: Option<Instant>,
}

impl Budget {
    pub(crate) fn new(settings: BudgetSettings) -> Self {
        Self { settings, bank: f64::from(BURST), counted: Instant::now(), out: Vec::new() }
    }

    /// A rejection of this token causes a fetch; says whether one may.
    pub(crate) fn take(&mut self, token: u64, now: Instant) -> bool {
        self.settle(now);
        self.out.retain(|renewal| renewal.token != Some(token) || renewal.first_accepted.is_some());
        self.regain(now);
        let left = self.bank - 1.0;
        // The layer took its units some time before the transport saw the requests.
        let may = left > -LATE.div_duration_f64(self.settings.refill);
        if may {
            self.bank = left;
            self.out.push(Renewal { token: None, first_accepted: None });
        }
        may
    }

    /// A fetch has brought this token, whatever caused it.
    pub(crate) fn brought(&mut self, token: u64, now: Instant) {
        self.settle(now);
        self.out.retain(|renewal| renewal.token.is_none() || renewal.first_accepted.is_some());
        if let Some(renewal) = self.out.iter_mut().find(|renewal| renewal.token.is_none()) {
            renewal.token = Some(token);
        }
    }

    /// The last fetch has brought nothing.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.settle(now);
        let before = self.out.len();
        self.out.retain(|renewal| renewal.token.is_some());
        self.bank += if self.out.len() < before { 1.0 } else { 0.0 };
    }

    pub(crate) fn accepted(&mut self, token: u64, now: Instant) {
        self.settle(now);
        for renewal in self.out.iter_mut().filter(|renewal| renewal.token == Some(token)) {
            renewal.first_accepted.get_or_insert(now);
        }
    }

    /// Ends the renewals whose time has come.
    fn settle(&mut self, now: Instant) {
        let ends = |renewal: &Renewal| Some(renewal.first_accepted? + JUDGED_AFTER).filter(|end| *end <= now);
        while let Some((end, position)) =
            self.out.iter().enumerate().filter_map(|(at, one)| Some((ends(one)?, at))).min()
        {
            self.regain(end);
            self.out.swap_remove(position);
            self.bank += if self.settings.replays { 1.0 } else { 0.0 };
        }
        self.regain(now);
    }

    fn regain(&mut self, now: Instant) {
        let regained = now.saturating_duration_since(self.counted).div_duration_f64(self.settings.refill);
        let out = u32::try_from(self.out.len()).unwrap_or(BURST);
        self.bank = (self.bank + regained).min(f64::from(BURST) - f64::from(out));
        self.counted = self.counted.max(now);
    }
}

pub(crate) const BURST: u32 = 4;
const JUDGED_AFTER: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_millis(200);

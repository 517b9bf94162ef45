//! The figures of all rounds, and whether they grow.
//!
//! The first tenth of the rounds is the warm-up: allocator arenas and tables get their size. Of the others, the *smallest*
//! figure at rest in the first fifth is compared with the smallest in the last fifth. What varies at random does not affect
//! a minimum over several rounds, and a leak is in all later ones. The allowance of a figure does not depend on the length
//! of the run: a longer run finds slower leaks.

use std::fmt;

use crate::figures::{FIGURES, Figure, Measured};

pub(crate) struct Ledger {
    accounts: Vec<Account>,
}

/// One figure over the whole run.
struct Account {
    figure: Figure,
    at_rest: Vec<u64>,
    peak: u64,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let open = |figure| Account { figure, at_rest: Vec::with_capacity(MOST_ROUNDS), peak: 0 };
        Self { accounts: FIGURES.into_iter().map(open).collect() }
    }

    /// Notes the figures in the middle of a round.
    pub(crate) fn under_load(&mut self, measured: Measured) {
        for (account, value) in self.accounts.iter_mut().zip(measured) {
            account.peak = account.peak.max(value);
        }
    }

    /// Notes the figures after a round, when all callers have ended.
    pub(crate) fn at_rest(&mut self, measured: Measured) {
        for (account, value) in self.accounts.iter_mut().zip(measured) {
            account.at_rest.push(value);
        }
    }

    pub(crate) fn is_flat(&self) -> bool {
        self.accounts.iter().all(Account::is_flat)
    }
}

impl Account {
    fn is_flat(&self) -> bool {
        // Fewer than three rounds cannot be compared, so they prove nothing.
        self.at_rest.len() >= 3 && self.last() <= self.first() + self.figure.allowance
    }

    fn first(&self) -> u64 {
        least(self.warm().iter().take(self.fifth()))
    }

    fn last(&self) -> u64 {
        least(self.warm().iter().rev().take(self.fifth()))
    }

    fn warm(&self) -> &[u64] {
        let warm_up = self.at_rest.len().div_ceil(10);
        self.at_rest.get(warm_up..).unwrap_or_default()
    }

    fn fifth(&self) -> usize {
        (self.warm().len() / 5).max(1)
    }
}

fn least<'a>(values: impl Iterator<Item = &'a u64>) -> u64 {
    values.copied().min().unwrap_or_default()
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (last, first) = ("last", "first");
        writeln!(f, "{:20} {first:>10} {last:>10} {:>10} {:>12}", "at rest", "may grow", "max in load")?;
        for account in &self.accounts {
            let Figure { name, allowance } = account.figure;
            let mark = if account.is_flat() { "ok" } else { "GROWS" };
            let (first, last, peak) = (account.first(), account.last(), account.peak);
            writeln!(f, "{name:20} {first:>10} {last:>10} {allowance:>10} {peak:>12}  {mark}")?;
        }
        Ok(())
    }
}

/// Enough for a day, so that the ledger itself does not grow.
const MOST_ROUNDS: usize = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_flat(at_rest: impl IntoIterator<Item = u64>) -> bool {
        Account { figure: Figure { name: "test", allowance: 40 }, at_rest: at_rest.into_iter().collect(), peak: 0 }
            .is_flat()
    }

    #[test]
    fn a_figure_that_varies_at_random_is_flat() {
        assert!(is_flat((0..50).map(|round| 1_000 + round * 7_919 % 300)));
        assert!(is_flat([5_000, 1_000, 1_040, 1_040, 1_040]), "the first round warms up");
    }

    #[test]
    fn one_more_in_each_round_is_a_leak_even_with_noise() {
        assert!(!is_flat((0..60).map(|round| 1_000 + round)));
        assert!(!is_flat((0..200).map(|round| 1_000 + round + round * 7_919 % 100)));
        assert!(!is_flat([1_000, 1_000, 1_000, 1_000, 1_041]));
    }

    #[test]
    fn fewer_than_three_rounds_are_not_flat() {
        assert!(!is_flat([]) && !is_flat([1, 1]));
        assert!(is_flat([1, 1, 1]));
    }
}

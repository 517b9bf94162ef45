//! The figures of all rounds, and whether they are flat.
//!
//! The rounds of the first tenth warm up: threads get their arenas, tables their size. Of the others, the *smallest*
//! figure at rest in the first fifth is compared with the smallest in the last. What comes and goes by chance is not in
//! a minimum of several rounds, and what was leaked is in all that follow. Each figure has an allowance, which does not
//! depend on the length of the run: the longer it is, the slower a leak may be and is still found.

use std::fmt;

use crate::figures::{FIGURES, Figure, Measured};

pub(crate) struct Ledger {
    accounts: Vec<Account>,
}

/// One figure through the whole run.
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

    /// In the middle of a round.
    pub(crate) fn under_load(&mut self, measured: Measured) {
        for (account, value) in self.accounts.iter_mut().zip(measured) {
            account.peak = account.peak.max(value);
        }
    }

    /// After a round, when everybody is gone.
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
        // With fewer than three rounds there is nothing to compare, so nothing is shown.
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

/// So that the ledger itself does not grow: a day of rounds.
const MOST_ROUNDS: usize = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_flat(at_rest: impl IntoIterator<Item = u64>) -> bool {
        Account { figure: Figure { name: "test", allowance: 40 }, at_rest: at_rest.into_iter().collect(), peak: 0 }
            .is_flat()
    }

    #[test]
    fn what_comes_and_goes_is_flat() {
        assert!(is_flat((0..50).map(|round| 1_000 + round * 7_919 % 300)));
        assert!(is_flat([5_000, 1_000, 1_040, 1_040, 1_040]), "the first round warms up");
    }

    #[test]
    fn one_more_in_each_round_is_a_leak_even_amid_noise() {
        assert!(!is_flat((0..60).map(|round| 1_000 + round)));
        assert!(!is_flat((0..200).map(|round| 1_000 + round + round * 7_919 % 100)));
        assert!(!is_flat([1_000, 1_000, 1_000, 1_000, 1_041]));
    }

    #[test]
    fn nothing_to_compare_is_no_proof() {
        assert!(!is_flat([]) && !is_flat([1, 1]));
        assert!(is_flat([1, 1, 1]));
    }
}

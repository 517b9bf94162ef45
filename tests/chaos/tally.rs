//! What happened, in numbers; and what should not have happened.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What the oracle watches over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    /// A request in scope left without its credentials, with two of a kind, or with a token that the layer never got.
    CredentialsPresent,
    /// A request out of scope, or marked `NoAuth`, carried a credential.
    CredentialsContained,
    /// A request that is no affair of the layer's failed by the layer.
    Untouched,
    /// A request left with a token that had ended, or that had been succeeded.
    TokensAlive,
    /// A layer had two token requests on their way at once.
    SingleFlight,
    /// A layer asked for a token that nothing explains, too soon after a failure, too often in one fetch, or, because of
    /// rejections, more often than its renewal budget allows.
    TokensExplained,
    /// A request was sent a third time.
    OneReplay,
    /// A rejected response was handed on without its own body.
    AnswersWhole,
    /// A call took longer than its bound.
    NothingHangs,
    /// A caller got no good answer in the time that the settings promise, though nothing was wrong any more.
    AllEndsWell,
}

/// Counts facts by row and column, and keeps the violations.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    facts: Mutex<BTreeMap<(Row, String), u64>>,
    worst: Mutex<BTreeMap<String, Duration>>,
    violations: Mutex<BTreeMap<Check, Vec<String>>>,
}

/// The rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Calls,
    Answers,
    Errors,
    Wire,
    Tokens,
    Disruptions,
    Faults,
}

impl Tally {
    pub(crate) fn count(&self, row: Row, column: impl Into<String>) {
        self.add(row, column, 1);
    }

    pub(crate) fn add(&self, row: Row, column: impl Into<String>, n: u64) {
        *lock(&self.facts).entry((row, column.into())).or_default() += n;
    }

    pub(crate) fn of(&self, row: Row, column: &str) -> u64 {
        lock(&self.facts).get(&(row, column.to_owned())).copied().unwrap_or_default()
    }

    /// Keeps the longest.
    pub(crate) fn took(&self, what: impl Into<String>, time: Duration) {
        let mut worst = lock(&self.worst);
        let longest = worst.entry(what.into()).or_default();
        *longest = time.max(*longest);
    }

    pub(crate) fn violated(&self, check: Check, what: impl Into<String>) {
        lock(&self.violations).entry(check).or_default().push(what.into());
    }

    /// How often each check failed, and how at first.
    pub(crate) fn violations(&self) -> Vec<String> {
        let violations = lock(&self.violations);
        let told = |(check, all): (&Check, &Vec<String>)| {
            let first: Vec<_> = all.iter().take(SHOWN).map(String::as_str).collect();
            format!("{check:?}, {} times: {}", all.len(), first.join("; "))
        };
        violations.iter().map(told).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = None;
        for ((this, column), n) in lock(&self.facts).iter() {
            let name = if row == Some(*this) { String::new() } else { format!("{this:?}").to_lowercase() };
            row = Some(*this);
            writeln!(f, "{name:<11} {column:<46} {n:>9}")?;
        }
        for (what, time) in lock(&self.worst).iter() {
            writeln!(f, "{:<11} {what:<46} {:>7.2} s", "worst", time.as_secs_f64())?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHOWN: usize = 5;

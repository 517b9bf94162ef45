//! Shared by the demonstrations: figures that were counted, compared with what is expected.

use std::ops::RangeInclusive;

use tower_outbound_auth::BoxError;

/// A figure that was counted, and the range that is expected.
pub(crate) struct Figure {
    name: &'static str,
    counted: u64,
    expected: RangeInclusive<u64>,
}

/// What a figure is expected to be: a number, or a range.
pub(crate) struct Expected(RangeInclusive<u64>);

pub(crate) fn figure(name: &'static str, counted: u64, expected: impl Into<Expected>) -> Figure {
    Figure { name, counted, expected: expected.into().0 }
}

impl From<u64> for Expected {
    fn from(number: u64) -> Self {
        Self(number..=number)
    }
}

impl From<RangeInclusive<u64>> for Expected {
    fn from(range: RangeInclusive<u64>) -> Self {
        Self(range)
    }
}

impl Figure {
    fn is_as_expected(&self) -> bool {
        self.expected.contains(&self.counted)
    }

    fn describe(&self) -> String {
        let Self { name, counted, expected } = self;
        if self.is_as_expected() {
            format!("{name}: {counted}")
        } else if expected.start() == expected.end() {
            format!("{name}: {counted} instead of {}", expected.start())
        } else {
            format!("{name}: {counted} instead of {} to {}", expected.start(), expected.end())
        }
    }
}

/// Prints one step with its figures. Returns whether all of them are as expected.
pub(crate) fn report(step: &str, figures: &[Figure]) -> bool {
    let ok = figures.iter().all(Figure::is_as_expected);
    let figures: Vec<_> = figures.iter().map(Figure::describe).collect();
    println!("{:<6}  {step:<52}  {}", if ok { "ok" } else { "FAILED" }, figures.join(", "));
    ok
}

/// Fails unless all steps were as expected.
pub(crate) fn conclude(steps: &[bool]) -> Result<(), BoxError> {
    match steps.iter().filter(|ok| !**ok).count() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} steps did not go as expected", steps.len()).into()),
    }
}

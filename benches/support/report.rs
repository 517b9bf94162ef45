//! Rounds in which all variants take turns, ratios of medians, and tables that can be written to a file.

#![allow(dead_code, reason = "not every benchmark uses all of it")]

use std::{env, fmt::Display, fs, io, path::Path};

/// Times by round and variant, all in the same unit.
pub(crate) struct Rounds<const N: usize> {
    rounds: Vec<[f64; N]>,
}

impl<const N: usize> Rounds<N> {
    /// Runs the rounds. All variants take turns within each, so that a change of the machine's speed affects all of them.
    pub(crate) fn run(rounds: u32, mut variants: [impl FnMut() -> f64; N]) -> Self {
        Self { rounds: (0..rounds).map(|_| variants.each_mut().map(|variant| variant())).collect() }
    }

    /// Takes rounds that were run elsewhere.
    pub(crate) fn new(rounds: Vec<[f64; N]>) -> Self {
        Self { rounds }
    }

    pub(crate) fn median(&self, variant: usize) -> f64 {
        median(self.rounds.iter().filter_map(|round| round.get(variant).copied()))
    }

    pub(crate) fn quantile(&self, variant: usize, fraction: f64) -> f64 {
        quantile(self.rounds.iter().filter_map(|round| round.get(variant).copied()), fraction)
    }

    /// Returns the median over the rounds of one variant's time divided by another's.
    pub(crate) fn ratio(&self, variant: usize, to: usize) -> f64 {
        median(self.rounds.iter().filter_map(|round| Some(round.get(variant)? / round.get(to)?)))
    }
}

pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    quantile(figures, 0.5)
}

/// Returns the figure that this fraction of all figures does not exceed.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
pub(crate) fn quantile(figures: impl IntoIterator<Item = f64>, fraction: f64) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    figures.get((last as f64 * fraction).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The results of one benchmark: printed at once, and written to `$BENCH_RESULTS/<name>.csv` if that is set.
pub(crate) struct Report {
    name: &'static str,
    lines: Vec<String>,
}

impl Report {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, lines: vec!["table,row,column,value".to_owned()] }
    }

    /// Adds a row to one of its tables. A comma ends a field, so no name may contain one.
    pub(crate) fn row<const N: usize>(&mut self, table: &str, row: impl Display, columns: [(&str, f64); N]) {
        let figures = columns.map(|(column, value)| format!("{column} {value:.3}"));
        println!("{table:<24} {row:<46} {}", figures.join("   "));
        self.lines.extend(columns.map(|(column, value)| format!("{table},{row},{column},{value:.4}")));
    }

    /// Writes the file, if `$BENCH_RESULTS` is set.
    pub(crate) fn finish(self) -> io::Result<()> {
        match env::var_os("BENCH_RESULTS") {
            Some(folder) => {
                fs::write(Path::new(&folder).join(self.name).with_extension("csv"), self.lines.join("\n") + "\n")
            }
            None => Ok(()),
        }
    }
}

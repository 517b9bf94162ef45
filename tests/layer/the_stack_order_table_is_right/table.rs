//! The table of the documentation: what is in it, and what belongs in it.

use std::{fs, path::Path};

use super::Row;

/// The lines of the table about layers in this file of the crate, which may be a comment.
pub(crate) fn of_file(path: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let lines = lines.skip_while(|line| !line.starts_with("| layer |")).take_while(|line| line.starts_with('|'));
    lines.map(str::to_owned).collect()
}

pub(crate) fn of_rows(rows: &[Row]) -> Vec<String> {
    let head = ["| layer | outside of `AuthLayer` | inside |", "|---|---|---|"].map(str::to_owned);
    let row = |row: &Row| format!("| {} | {} | {} |", row.name, cell(&row.outside), cell(&row.inside));
    head.into_iter().chain(rows.iter().map(row)).collect()
}

fn cell(findings: &[String]) -> String {
    let found: Vec<_> = findings.iter().map(String::as_str).filter(|finding| !finding.is_empty()).collect();
    if found.is_empty() { "changes nothing".to_owned() } else { found.join("; ") }
}

//! The tables of the guide's page.

use std::{fs, path::Path};

const PAGE: &str = "src/guide/providers.rs";

/// Fails unless the page has this table, to the letter.
pub(crate) fn assert_has(table: &[String]) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("//! "));
    let head = &table[0];
    let found: Vec<_> = lines.skip_while(|line| line != head).take_while(|line| line.starts_with('|')).collect();
    assert!(found == table, "{PAGE} should say:\n\n//! {}\n", table.join("\n//! "));
}

pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
    let cell = |cell: &String| if cell.is_empty() { "-".to_owned() } else { cell.clone() };
    let line = |cells: &[String]| format!("| {} |", cells.iter().map(cell).collect::<Vec<_>>().join(" | "));
    let head: Vec<_> = head.iter().map(ToString::to_string).collect();
    let ruler = format!("|{}", "---|".repeat(head.len()));
    [line(&head), ruler].into_iter().chain(rows.into_iter().map(|row| line(&row))).collect()
}

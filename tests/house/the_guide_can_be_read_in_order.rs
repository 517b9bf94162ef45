//! The guide has a row for each page, a link from each page to the next, and on each page an example that runs.

use std::{fs, path::Path};

fn guide(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide").join(file)).unwrap()
}

/// The pages as the landing page lists them.
fn pages() -> Vec<String> {
    let landing = guide("mod.rs");
    let rows = landing.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.filter_map(|row| row.split_once("`] | ")).map(|(page, _)| page.to_owned()).collect()
}

/// The examples that the documentation tests compile and run, and that check something.
fn running_examples(page: &str) -> usize {
    let (mut running, mut fence) = (0, None);
    for line in page.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim) {
        match (fence, line.strip_prefix("```")) {
            (None, Some(attributes)) => fence = Some((attributes.is_empty(), false)),
            (Some((runs, checks)), Some(_)) => {
                running += usize::from(runs && checks);
                fence = None;
            }
            (Some((runs, checks)), None) => fence = Some((runs, checks || line.contains("assert"))),
            (None, None) => {}
        }
    }
    running
}

#[test]
fn every_page_has_a_row() {
    let landing = guide("mod.rs");
    let modules = landing.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mut rows = pages();
    rows.sort();
    assert!(rows.len() >= 17 && rows == modules.collect::<Vec<_>>(), "{rows:?}");
}

#[test]
fn every_page_leads_to_the_next() {
    let pages = pages();
    for next in pages.windows(2) {
        let [page, next] = next else { unreachable!() };
        let text = guide(&format!("{page}.rs"));
        assert!(text.contains(&format!("//! Next: [`{next}`](super::{next}).\n")), "{page} does not lead to {next}");
    }
    let last = guide(&format!("{}.rs", pages.last().unwrap()));
    assert!(!last.contains("//! Next: ["), "the last page leads nowhere");
}

#[test]
fn every_page_has_an_example_that_runs() {
    let without: Vec<_> =
        pages().into_iter().filter(|page| running_examples(&guide(&format!("{page}.rs"))) == 0).collect();
    assert!(without.is_empty(), "no example that runs and checks something: {without:?}");
}

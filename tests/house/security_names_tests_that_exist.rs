//! Each line of the threat model names the tests that hold it, and so does a line for each guarantee; these tests exist.

use std::{collections::BTreeSet, fs, path::Path};

/// The names of all tests in the Rust files of a folder.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                // Other attributes may follow the one of a test.
                if line.starts_with("#[") {
                    is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                    continue;
                }
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if is_test && let Some((name, _)) = name.and_then(|name| name.split_once('(')) {
                    found.insert(name.to_owned());
                }
                is_test = false;
            }
        }
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn existing() -> BTreeSet<String> {
    let mut existing = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests(&root().join(folder), &mut existing);
    }
    existing
}

#[test]
fn security_md_has_a_row_for_each_guarantee() {
    let guide = fs::read_to_string(root().join("src/guide/guarantees.rs")).unwrap();
    let guarantees = guide.lines().filter_map(|line| line.strip_prefix("//! ## ")?.split_once(": "));
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let table = text.split("### What each promise is tested by").nth(1).unwrap().split("###").next().unwrap();
    let mut rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let existing = existing();
    for (number, title) in guarantees {
        let row = rows.next().unwrap_or_default();
        let named = row.strip_prefix(&format!("| {number} | {title} | "));
        let named: Vec<_> =
            quoted(named.unwrap_or_else(|| panic!("not the row of {number}, {title}: {row}"))).collect();
        assert!(!named.is_empty(), "no test holds {number}");
        for name in named {
            assert!(existing.contains(name), "there is no test `{name}`");
            assert!(name.starts_with(&format!("{}_", number.to_lowercase())), "`{name}` does not test {number}");
        }
    }
    assert_eq!(rows.next(), None, "a row of no guarantee");
}

#[test]
fn security_md_names_tests_that_exist() {
    let existing = existing();
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let defended = text.split("### What is defended").nth(1).unwrap().split("###").next().unwrap();
    let lines: Vec<_> = defended.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(lines.len() >= 20, "{} lines of the table are found", lines.len());
    for line in lines {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        let [_threat, _defense, named] = cells[..] else { panic!("three columns: {line}") };
        assert!(quoted(named).next().is_some(), "no test holds: {line}");
        for name in quoted(named) {
            assert!(existing.contains(name), "there is no test `{name}`");
        }
    }
    // Wherever else a test is named.
    for name in quoted(&text).filter(|name| name.split('_').count() > 4 && !name.contains(' ')) {
        assert!(existing.contains(name), "there is no test `{name}`");
    }
}

//! CONTRIBUTING.md has a line for each dependency of Cargo.toml, and for no other.

use std::{collections::BTreeSet, fs, path::Path};

/// The names in the tables of dependencies, development's among them.
fn declared(manifest: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut is_table = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_table = line.ends_with("dependencies]");
        } else if is_table && let Some((name, _)) = line.split_once(" = ") {
            names.insert(name);
        }
    }
    names
}

/// The names in the first column of the section's tables, each with the other columns.
fn explained(page: &str) -> Vec<(&str, &str)> {
    let section = page.split("\n## Dependencies\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once(" | "));
    rows.flat_map(|(names, reason)| names.split('`').step_by(2).map(move |name| (name, reason)))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

#[test]
fn and_none_that_is_gone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // In a package, Cargo.toml is rewritten.
    let written = ["Cargo.toml.orig", "Cargo.toml"].iter().find_map(|name| fs::read_to_string(root.join(name)).ok());
    let manifest = written.unwrap();
    let page = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let explained = explained(&page);
    let names: BTreeSet<_> = explained.iter().map(|(name, _)| *name).collect();
    let declared = declared(&manifest);
    assert!(declared.len() > 40, "{} dependencies are found", declared.len());
    let missing: Vec<_> = declared.difference(&names).collect();
    let gone: Vec<_> = names.difference(&declared).collect();
    assert!(missing.is_empty() && gone.is_empty(), "without a line in CONTRIBUTING.md: {missing:?}; gone: {gone:?}");
    assert_eq!(names.len(), explained.len(), "a dependency has two lines");
    for (name, reason) in explained {
        let [purpose, others] = reason.split(" | ").collect::<Vec<_>>()[..] else { panic!("{name}: three columns") };
        assert!(purpose.trim().len() > 7 && others.trim().len() > 3, "{name} has no reason: {reason}");
    }
}

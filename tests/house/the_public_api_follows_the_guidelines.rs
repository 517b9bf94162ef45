//! What the Rust API guidelines ask of public items, where a test can see it.

use std::{collections::BTreeSet, fs, path::Path};

/// The text of all source files of a folder.
fn sources(folder: &Path) -> String {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(path).unwrap_or_default() })
        .collect()
}

/// The lint `unreachable_pub` ensures that what is `pub` can be reached from outside.
#[test]
fn each_public_type_has_a_test_of_its_traits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (source, test) = (sources(&root.join("src")), root.join("tests/layer/public_types_are_send_and_sync.rs"));
    let tested = fs::read_to_string(test).unwrap();
    let tested: BTreeSet<_> = tested.split(|c: char| !c.is_alphanumeric()).collect();
    let lines = source.lines().map(str::trim_start);
    let types = lines.filter_map(|line| line.strip_prefix("pub struct ").or(line.strip_prefix("pub enum ")));
    let names: BTreeSet<_> = types.filter_map(|line| line.split(|c: char| !c.is_alphanumeric()).next()).collect();
    assert!(names.len() > 60, "only {} types were found", names.len());
    let untested: Vec<_> = names.difference(&tested).collect();
    assert!(untested.is_empty(), "not in tests/layer/public_types_are_send_and_sync.rs: {untested:?}");
}

/// Readers copy examples. Lines that the documentation hides may do what is short.
#[test]
fn no_example_panics_where_a_question_mark_does() {
    let source = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let shown = source.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("///").or(line.strip_prefix("//!")).map(str::trim_start)
    });
    let panicking: Vec<_> = shown
        .filter(|line| {
            !line.starts_with("# ") && [".unwrap()", ".expect(\"", "unwrap_err()"].iter().any(|it| line.contains(it))
        })
        .collect();
    assert!(panicking.is_empty(), "{panicking:#?}");
}

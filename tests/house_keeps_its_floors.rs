//! The house keeps its floors: imports go down, never round, files stay small, and clocks and traces have one home.

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, io, iter, path::Path};

/// The floors of `src/`, ground first. A module imports from lower floors, or on its own floor from its own folder.
/// The longest entry that a path begins with counts, and a re-exported name lives where it is written.
const FLOORS: Floors<'_> = &[
    &["clock", "dates", "error", "lanes"],
    &["credentials", "origin", "rejection", "replay", "telemetry", "token::schedule", "token::sync"],
    &["token::access"],
    &["signing", "token::issued", "token::source", "token::spacing"],
    &["oauth", "token::flight"],
    &["token::gate"],
    &["token::store"],
    &["stamp", "token"],
    &["settings"],
    &["future"],
    &["service"],
    &["layer"],
    &["paynet"],
    &["guide", "sandbox"],
    &["lib"],
];

/// Lines of code that a file may have: neither blank, nor comment, nor test.
const LINES: usize = 250;

/// Words that stand in one file only, or in none.
const HOMES: &[(&str, &str)] = &[
    ("Instant::now", "src/clock.rs"),
    ("SystemTime::now", "src/clock.rs"),
    ("tracing::", "src/telemetry.rs"),
    ("[allow(", "no file"),
];

type Floors<'a> = &'a [&'a [&'a str]];

struct Source {
    path: String,
    text: String,
}

/// A path into this crate that stands in a file. A `use` gives what it names a second path, its alias.
struct Import {
    line: usize,
    path: String,
    alias: Option<String>,
}

impl Source {
    fn module(&self) -> String {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        path.replace('/', "::")
    }

    /// The lines before the tests at the end, their comments cut off.
    fn code(&self) -> String {
        let lines = self.text.lines().take_while(|line| *line != "mod tests {");
        lines
            .map(|line| {
                let head = line.split("//").next().filter(|head| !head.ends_with(':'));
                head.unwrap_or(line).to_owned() + "\n"
            })
            .collect()
    }

    fn imports(&self) -> Vec<Import> {
        let (code, mut module, mut offset, mut found) = (self.code(), self.module(), 0, Vec::new());
        let children = code.lines().filter_map(|line| line.rsplit_once("mod ")?.1.strip_suffix(';'));
        let starts: Vec<_> =
            ["crate", "self", "super"].into_iter().chain(children).map(|name| format!("{name}::")).collect();
        for (number, line) in (1..).zip(code.split_inclusive('\n')) {
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                [.., "mod", name, "{"] => module = resolve(&module, name),
                ["}"] if line.starts_with('}') => module = self.module(),
                _ => {}
            }
            for (at, start) in starts.iter().flat_map(|start| line.match_indices(start)) {
                let (before, _) = line.split_at(at);
                if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let name =
                    |path: &str| path.rsplit("::").find(|name| *name != "self").map(|name| resolve(&module, name));
                for path in leaves(code.split_at(offset + at).1) {
                    let alias = name(&path).filter(|_| words.contains(&"use") && path != start);
                    found.push(Import { line: number, path: resolve(&module, &path), alias });
                }
            }
            offset += line.len();
        }
        found
    }
}

/// The paths of the `use` tree, or the one path, that `text` begins with.
fn leaves(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    let Some(tree) = rest.strip_prefix('{').filter(|_| path.is_empty() || path.ends_with("::")) else {
        return vec![path.trim_end_matches(':').to_owned()];
    };
    let mut open = 1;
    let depth = |c: char, open: &mut i32| {
        *open += i32::from(c == '{') - i32::from(c == '}');
        *open
    };
    let (tree, _) = tree.split_at(tree.find(|c| depth(c, &mut open) == 0).unwrap_or(tree.len()));
    let mut open = 0;
    let branches =
        tree.split(|c| depth(c, &mut open) == 0 && c == ',').map(str::trim).filter(|branch| !branch.is_empty());
    branches.flat_map(leaves).map(|leaf| format!("{path}{leaf}").trim_end_matches(':').to_owned()).collect()
}

/// `path` as `module` sees it, counted from the root of the crate.
fn resolve(module: &str, path: &str) -> String {
    let mut full: Vec<_> = module.split("::").filter(|name| *name != "lib").collect();
    for name in path.split("::") {
        match name {
            "crate" => full.clear(),
            "self" => {}
            "super" => _ = full.pop(),
            name => full.push(name),
        }
    }
    full.join("::")
}

fn after<'a>(path: &'a str, start: &str) -> Option<&'a str> {
    path.strip_prefix(start).filter(|tail| tail.is_empty() || tail.starts_with("::"))
}

fn top(path: &str) -> String {
    path.split("::").next().unwrap_or_default().to_owned()
}

fn floor_of(path: &str, floors: Floors<'_>) -> Option<usize> {
    let entries = (1..).zip(floors).flat_map(|(floor, names)| names.iter().map(move |name| (floor, name)));
    entries.filter(|(_, name)| after(path, name).is_some()).max_by_key(|(_, name)| name.len()).map(|(floor, _)| floor)
}

/// Every import as file, line and path, the path being that of the place where the thing is written.
fn imports(files: &[Source]) -> Vec<(&Source, usize, String)> {
    let found: Vec<_> = files.iter().flat_map(|file| file.imports().into_iter().map(move |it| (file, it))).collect();
    let aliases: BTreeMap<_, _> = found.iter().filter_map(|(_, it)| Some((it.alias.as_ref()?, &it.path))).collect();
    let step = |path: &String| aliases.iter().find_map(|(alias, real)| Some(format!("{real}{}", after(path, alias)?)));
    let end = |path: &String| iter::successors(Some(path.clone()), step).take(8).last().unwrap_or_default();
    found.iter().map(|(file, it)| (*file, it.line, end(&it.path))).collect()
}

/// Files without a floor, and imports that go up or across.
fn crooked(floors: Floors<'_>, files: &[Source]) -> Vec<String> {
    let lost = files.iter().filter(|file| floor_of(&file.module(), floors).is_none());
    let mut found: Vec<_> = lost.map(|file| format!("{} has no floor", file.path)).collect();
    for (file, line, path) in imports(files) {
        let from = floor_of(&file.module(), floors).unwrap_or_default();
        let to = floor_of(&path, floors).unwrap_or(floors.len());
        if to > from || to == from && top(&path) != top(&file.module()) {
            found.push(format!("{}:{line} on floor {from} imports {path} of floor {to}", file.path));
        }
    }
    found
}

/// Imports between modules of the root that go round, once all that lead nowhere and come from nowhere are taken off.
fn circles(files: &[Source]) -> Vec<String> {
    let ways = imports(files).into_iter().map(|(file, _, path)| (top(&file.module()), top(&path)));
    let mut ways: BTreeSet<_> = ways.filter(|(from, to)| from != to).collect();
    let mut before = 0;
    while ways.len() != before {
        before = ways.len();
        let (from, to): (BTreeSet<_>, BTreeSet<_>) = ways.iter().cloned().unzip();
        ways.retain(|way| from.contains(&way.1) && to.contains(&way.0));
    }
    ways.iter().map(|(from, to)| format!("in a circle: {from} imports {to}")).collect()
}

/// Files that are too long, do not say what they are for, or hold words that belong elsewhere.
fn untidy(file: &Source) -> Vec<String> {
    let code = file.code();
    let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
    let strays = HOMES.iter().filter(|(words, home)| *home != file.path && code.contains(words));
    let mut found: Vec<_> = strays.map(|(words, home)| format!("{}: `{words}` belongs in {home}", file.path)).collect();
    found.extend((lines > LINES).then(|| format!("{}: {lines} lines of code", file.path)));
    found.extend((!file.text.starts_with("//! ")).then(|| format!("{}: does not begin with `//!`", file.path)));
    found
}

fn read(folder: &Path) -> io::Result<Vec<Source>> {
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    for entry in fs::read_dir(root.join(folder))? {
        let path = folder.join(entry?.file_name());
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(root.join(&path))?;
            found.push(Source { path: path.to_string_lossy().replace('\\', "/"), text });
        } else {
            found.extend(read(&path)?);
        }
    }
    Ok(found)
}

#[test]
fn the_house_keeps_its_floors() -> io::Result<()> {
    let files = read(Path::new("src"))?;
    let modules: Vec<_> = files.iter().map(Source::module).collect();
    let empty =
        FLOORS.concat().into_iter().filter(|entry| !modules.iter().any(|module| after(module, entry).is_some()));
    let found: Vec<_> = empty.map(|entry| format!("{entry} has a floor, but no file")).collect();
    let found = [found, crooked(FLOORS, &files), circles(&files), files.iter().flat_map(untidy).collect()].concat();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    Ok(())
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// What is wrong with one file, `src/up/mod.rs`, in a house of four floors.
fn faults(text: &str) -> String {
    let floors: Floors<'_> = &[&["ground", "up::wire"], &["up", "beside"], &["roof"], &["lib"]];
    let root = source("src/lib.rs", "mod ground;\npub use ground::Stone;\n");
    crooked(floors, &[source("src/up/mod.rs", text), root]).join("\n")
}

#[test]
fn an_import_that_goes_up_or_across_is_reported() {
    let up = "src/up/mod.rs:3 on floor 2 imports roof::Tile of floor 3";
    assert_eq!(faults("//! Up.\n\nuse crate::roof::Tile;\n"), up);
    let tree = "\n\nuse crate::{\n    ground::{self, Stone},\n    roof::{Tile},\n};\n";
    assert_eq!(faults(tree), up);
    assert_eq!(faults("\n\nuse super::roof::Tile;\n"), up);
    assert_eq!(faults("\nmod inner {\n    use super::super::roof::Tile;\n}\n"), up);
    assert_eq!(faults("\n\nfn f() -> Option<crate::roof::Tile> {\n    None\n}\n"), up);
    assert!(faults("use crate::beside::Shed;\n").contains("imports beside::Shed of floor 2"));
    assert!(faults("use crate::Unknown;\n").contains("imports Unknown of floor 4"));
}

#[test]
fn an_import_that_goes_down_is_not_reported() {
    let down = "use crate::{Stone, ground::*};\nuse self::wire::{Form, other::Thing};\nuse std::fmt;\n";
    assert_eq!(faults(down), "");
    let comments = "//! Like [`Tile`](crate::roof::Tile).\nlet s = 1; // crate::roof::Tile\n";
    assert_eq!(faults(comments), "");
    assert_eq!(faults("#[cfg(test)]\nmod tests {\n    use crate::roof::Tile;\n}\n"), "");
}

#[test]
fn a_circle_and_a_file_without_a_floor_are_reported() {
    let files = [
        source("src/a/low.rs", ""),
        source("src/b.rs", "use crate::a::low;"),
        source("src/a/high.rs", "use crate::b;"),
    ];
    let floors: Floors<'_> = &[&["a::low"], &["b"], &["a::high"]];
    assert_eq!(crooked(floors, &files), [""; 0]);
    let circle = ["in a circle: a imports b", "in a circle: b imports a"];
    assert_eq!(circles(&files), circle);
    assert_eq!(circles(&files[..2]), [""; 0]);
    let lost = crooked(floors, &[source("src/new.rs", "")]);
    assert_eq!(lost, ["src/new.rs has no floor"]);
}

#[test]
fn an_untidy_file_is_reported() {
    let faults = |path: &str, text: &str| untidy(&source(path, text));
    assert_eq!(faults("src/clock.rs", "//! Time.\nInstant::now(); // tracing::\n"), [""; 0]);
    let strays = "Instant::now();\nSystemTime::now();\ntracing::info!();\n#[allow(x)]\n";
    assert_eq!(faults("src/a.rs", strays).len(), 5, "the missing first line too");
    let lines = |code: usize| format!("//! A.\n{}", "f();\n\n// g();\n".repeat(code));
    assert_eq!(faults("src/a.rs", &lines(LINES)), [""; 0]);
    assert_eq!(faults("src/a.rs", &lines(LINES + 1)), ["src/a.rs: 251 lines of code"]);
}

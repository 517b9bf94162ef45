//! The source keeps to its layers: imports go down and never round, files stay small, clocks and traces have one home.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

mod each_dependency_has_its_reason;
mod no_client_takes_a_proxy_from_the_environment;
mod security_names_tests_that_exist;
mod the_guide_can_be_read_in_order;
mod the_public_api_follows_the_guidelines;
#[cfg(unix)]
mod what_is_not_checked_is_told;

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path::Path};

/// The modules of `src/`, ground first. A module stands where the first name is that its path begins with.
const LAYERS: &str = "error product time wiped_stack
    < basic credential_text credentials labels metrics origin polled_file rejection replay secret_file server_clocks signing
    telemetry token::access token::policy token::source
    < client oauth token < authorize future layer service settings < fleet keyed paynet reqwest sandbox";

/// Words, and the one module that may use them.
const HOMES: [(&str, &str); 4] =
    [("Instant::now", "time"), ("SystemTime::now", "time"), ("tracing::", "telemetry"), ("allow(", "no module")];

/// The code of every module, without tests and comments; `lib.rs` and the guide, which name all the others, left out.
fn read(folder: &Path, above: &str, found: &mut BTreeMap<String, String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let module = format!("{above}{}", path.file_stem().unwrap().to_str().unwrap());
        if path.is_dir() {
            read(&path, &format!("{module}::"), found);
        } else if !["guide", "lib", "model", "tests"].iter().any(|name| module.split("::").any(|part| part == *name)) {
            let text = fs::read_to_string(path).unwrap();
            let lines = text.lines().take_while(|line| *line != "mod tests {").filter(|line| !line.trim().is_empty());
            let code = lines.filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("\n{line}"));
            found.insert(module, code.collect());
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn imports_go_down_and_never_round_and_files_stay_tidy() {
    let (mut code, mut homes, mut edges) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut code);
    // Where a name is written, and a module itself, by the first part of the module's path and the name.
    for (module, text) in &code {
        let is_kind = |word: &&str| ["const", "enum", "fn", "static", "struct", "trait", "type"].contains(word);
        let items = text.lines().filter(|line| line.starts_with("pub")).map(words);
        let names = items.filter_map(|item| item.skip_while(|word| !is_kind(word)).find(|word| !is_kind(word)));
        homes.extend(names.chain(words(module).last()).map(|name| ((words(module).next(), name), module)));
    }
    for (from, text) in &code {
        let starts = ["\nuse crate::", "\nuse self::", "\nuse super::"].into_iter();
        for tree in starts.flat_map(|start| text.split(start).skip(1)).filter_map(|text| text.split(';').next()) {
            let near: Vec<_> = words(tree).chain(words(from).take(1)).collect();
            let met = homes.iter().filter(|((top, name), _)| near.contains(&top.unwrap()) && near.contains(name));
            edges.extend(met.map(|(_, to)| (from, *to)).filter(|(from, to)| from != to));
        }
    }
    let layer = |module: &str| {
        let is_in = |name: &str| format!("{module}::").starts_with(&format!("{name}::"));
        LAYERS.split('<').position(|names| names.split_whitespace().any(is_in))
    };
    let up = edges.iter().filter(|(from, to)| layer(from) < layer(to));
    let mut faults: Vec<_> = up.map(|(from, to)| format!("{from} imports {to}, which is above it")).collect();
    for (module, text) in &code {
        let strays =
            HOMES.iter().filter(|(words, home)| module.split("::").next() != Some(home) && text.contains(words));
        faults.extend(strays.map(|(words, home)| format!("{module} uses `{words}`, which is for {home}")));
        faults.extend((text.lines().count() > 251).then(|| format!("{module} has over 250 lines of code")));
        faults.extend(layer(module).is_none().then(|| format!("{module} has no layer")));
    }
    // What nothing leads to, or what leads nowhere, is in no circle.
    for _ in 0..code.len() {
        let all = edges.clone();
        edges.retain(|edge| all.iter().any(|it| it.1 == edge.0) && all.iter().any(|it| it.0 == edge.1));
    }
    assert!(faults.is_empty() && edges.is_empty(), "{faults:#?}, in circles: {edges:#?}");
}

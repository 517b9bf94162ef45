//! The guide's table of spans and events lists what is emitted: no more, no less, with these levels and these fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{
    json::{Line, Log},
    script,
};

type Names = BTreeSet<String>;

/// Levels and fields of each row, by how the name of its event begins.
fn table() -> BTreeMap<String, (Names, Names)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide");
    let texts = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let text = texts.filter(|text| text.contains("\n//! # Traces\n")).collect::<String>();
    let (_, section) = text.split_once("\n//! # Traces\n").unwrap();
    let rows = section.lines().take_while(|line| !line.starts_with("//! # ")).filter_map(row).collect();
    if cfg!(feature = "reqwest") {
        rows
    } else {
        let of_reqwest = |name: &str| name.starts_with("a signed request was answered");
        BTreeMap::into_iter(rows).filter(|(name, _)| !of_reqwest(name)).collect()
    }
}

fn row(line: &str) -> Option<(String, (Names, Names))> {
    let mut cells = line.strip_prefix("//! | ")?.split(" |").map(str::trim);
    let name = cells.next().unwrap();
    if !name.starts_with('"') && !name.starts_with("span `") {
        return None;
    }
    let levels = cells.next().unwrap().split(", ").map(str::to_owned).collect();
    let fields = cells.next().unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((name.replace(['"', '`'], ""), (levels, fields)))
}

/// What was emitted, in the form of the table.
fn emitted(lines: &[Line], rows: &BTreeMap<String, (Names, Names)>) -> BTreeMap<String, (Names, Names)> {
    let mut emitted = BTreeMap::<_, (Names, Names)>::new();
    for line in lines {
        let name = rows.keys().find(|name| line.name.starts_with(*name)).unwrap_or(&line.name);
        let (levels, fields) = emitted.entry(name.clone()).or_default();
        levels.insert(line.level.clone());
        fields.extend(line.field_names());
    }
    emitted
}

/// The values of a field of the lines whose name begins so.
fn values<'a>(lines: &'a [Line], name: &str, field: &str) -> BTreeSet<&'a str> {
    let named = lines.iter().filter(|line| line.name.starts_with(name));
    named.map(|line| line.text(field)).filter(|text| !text.is_empty()).collect()
}

/// One script, since a thread that reads files writes to the global subscriber alone.
#[tokio::test(start_paused = true)]
async fn each_is_emitted_with_the_levels_and_fields_that_the_guide_lists_and_no_secret() {
    let (log, unsigned) = Log::of_all_threads();
    script::run(&log).await;
    let (lines, rows) = (log.lines(), table());
    assert_eq!(emitted(&lines, &rows), rows);
    assert_eq!(unsigned.fields(), Names::new());
    log.0.check();

    for (name, field, expected) in [
        ("span", "trigger", "forced keep_warm missing rejected rotated stale"),
        ("span", "outcome", "config denied malformed ok timeout unavailable"),
        ("span", "error.type", "config denied malformed timeout unavailable"),
        ("span", "fleet", "degraded followed hit led"),
        ("shared token", "event", "degraded followed hit led retired"),
        ("response rejected", "kind", "clock_skew token"),
        (
            "response rejected",
            "action",
            "body_not_replayable fetch_failed insufficient_scope not_learnt rejected_again replayed same_token throttled",
        ),
    ] {
        assert_eq!(values(&lines, name, field), expected.split(' ').collect(), "{field} of {name}");
    }
    for line in lines.iter().filter(|line| line.name == "response rejected") {
        let announced = ["throttled", "fetch_failed"].contains(&line.text("action"));
        assert_eq!(line.level, if announced { "DEBUG" } else { "INFO" }, "{line:?}");
    }
}

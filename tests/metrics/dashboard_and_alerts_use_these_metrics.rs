//! Dashboard, alert rules and the guide's table have the metrics that there are, with their labels and the values of these.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::NAMES;

type Labels = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// The metrics of the guide's table: kind, and the values of each label.
pub(crate) struct Metrics(BTreeMap<&'static str, (&'static str, Labels)>);

impl Metrics {
    pub(crate) fn of_the_guide() -> Self {
        let rows = include_str!("../../src/guide/operating.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        Self(rows.filter(|row| row.starts_with("outbound_auth_")).filter_map(Self::row).collect())
    }

    fn row(row: &'static str) -> Option<(&'static str, (&'static str, Labels))> {
        let mut cells = row.split('|').map(str::trim);
        let (name, kind, labels) = (cells.next()?.trim_matches('`'), cells.next()?, cells.next()?);
        let labels = labels.split("; ").filter_map(|label| label.split_once("`: "));
        let labels = labels.map(|(name, values)| (name.trim_matches('`'), values.split(", ").collect()));
        Some((name, (kind, labels.collect())))
    }

    /// What is wrong with the names and labels of a query, or of a series, which is one.
    pub(crate) fn faults(&self, query: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut labels: BTreeSet<_> = TARGET_LABELS.into();
        for (name, matchers) in selectors(query) {
            let Some((of_metric, is_bucket)) = self.labels(name) else {
                faults.push(format!("{name}: there is no such series"));
                continue;
            };
            labels.extend(of_metric.keys().copied());
            labels.extend(is_bucket.then_some("le"));
            for (label, values) in matchers {
                let is_known =
                    |value: &str| of_metric.get(label).is_some_and(|all| all.contains("any") || all.contains(value));
                let is_ours = !TARGET_LABELS.contains(&label) && !["le", "quantile"].contains(&label);
                let strays = values.split('|').filter(|value| is_ours && !is_known(value));
                faults.extend(strays.map(|value| format!("{name}: {label} is never {value}")));
            }
        }
        let strays = mentioned(query).into_iter().filter(|label| !labels.contains(label));
        faults.extend(strays.map(|label| format!("{query}: there is no label {label}")));
        faults
    }

    /// The labels of a series, and whether it is one of a histogram's buckets.
    fn labels(&self, series: &str) -> Option<(&Labels, bool)> {
        if let Some((kind, labels)) = self.0.get(series) {
            return (*kind != "histogram").then_some((labels, false));
        }
        let (name, part) = series.rsplit_once('_')?;
        let (kind, labels) = self.0.get(name)?;
        let is_part = *kind == "histogram" && ["bucket", "sum", "count"].contains(&part);
        is_part.then_some((labels, part == "bucket"))
    }
}

/// The series of a query, and their matchers as label and value.
fn selectors(query: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = query.match_indices("outbound_auth_").map(|(start, _)| query.get(start..).unwrap());
    starts
        .map(|text| {
            let (name, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
            let within = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(within, _)| within);
            let matchers = within.split(',').filter_map(|matcher| matcher.trim().split_once('"'));
            let matchers =
                matchers.map(|(label, value)| (label.trim_end_matches(['=', '!', '~']), value.trim_end_matches('"')));
            (name, matchers.collect())
        })
        .collect()
}

/// The labels that a query groups by, or that a text shows.
fn mentioned(text: &str) -> Vec<&str> {
    let opened =
        [("by (", ')'), ("without (", ')'), ("ignoring (", ')'), ("on (", ')'), ("{{", '}'), ("{{ $labels.", ' ')];
    let found = opened.iter().flat_map(|(open, close)| {
        text.match_indices(open).map(|(start, _)| {
            let rest = text.get(start + open.len()..).unwrap();
            rest.split(*close).next().unwrap()
        })
    });
    found.flat_map(|labels| labels.split(',')).map(str::trim).filter(|label| !label.starts_with('$')).collect()
}

fn observe(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/observe").join(file)).unwrap()
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&observe("dashboard.json")).unwrap();
    dashboard.pointer("/panels").and_then(Value::as_array).unwrap().clone()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Queries of the dashboard, each with its legend.
fn queries_of_the_dashboard() -> Vec<(String, String)> {
    let panels = panels();
    let targets = panels.iter().flat_map(|panel| panel.pointer("/targets").and_then(Value::as_array).unwrap());
    targets.map(|target| (text(target, "/expr").to_owned(), text(target, "/legendFormat").to_owned())).collect()
}

/// Queries of the alert rules, each with its annotations.
fn queries_of_the_alerts() -> Vec<(String, String)> {
    let rules = observe("alerts.yml");
    let rules = rules.split("- alert: ").skip(1).map(|rule| rule.split_once("expr: |").unwrap().1);
    rules
        .map(|rule| rule.split_once("for: ").unwrap())
        .map(|(query, rest)| (query.to_owned(), rest.to_owned()))
        .collect()
}

#[test]
fn the_table_of_the_guide_has_all_metrics() {
    let metrics = Metrics::of_the_guide();
    let of_the_guide: Vec<_> = metrics.0.keys().copied().collect();
    assert_eq!(of_the_guide, NAMES.map(|(name, _)| name));
}

#[test]
fn each_name_label_and_value_in_a_query_exists() {
    let (metrics, alerts) = (Metrics::of_the_guide(), queries_of_the_alerts());
    assert_eq!(alerts.len(), 3);
    for (query, shown) in alerts.into_iter().chain(queries_of_the_dashboard()) {
        let faults = metrics.faults(&format!("{query} {shown}"));
        assert!(faults.is_empty() && !selectors(&query).is_empty(), "{faults:#?} in {query}");
    }
    let dashboard: Value = serde_json::from_str(&observe("dashboard.json")).unwrap();
    for variable in dashboard.pointer("/templating/list").and_then(Value::as_array).unwrap() {
        assert!(metrics.faults(text(variable, "/definition")).is_empty(), "{variable}");
    }
}

#[test]
fn each_metric_is_on_the_dashboard() {
    let queries = queries_of_the_dashboard();
    let missing = NAMES.iter().filter(|(name, _)| !queries.iter().any(|(query, _)| query.contains(name)));
    assert_eq!(missing.collect::<Vec<_>>(), [&("", ""); 0]);
}

#[test]
fn each_panel_says_what_it_shows() {
    let mut places = BTreeSet::new();
    for panel in panels() {
        for pointer in ["/title", "/description", "/fieldConfig/defaults/unit"] {
            assert!(!text(&panel, pointer).is_empty(), "{pointer} of {panel}");
        }
        assert_eq!(text(&panel, "/datasource/uid"), "${datasource}", "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"]
            .map(|side| panel.pointer(&format!("/gridPos/{side}")).and_then(Value::as_u64).unwrap());
        let is_free = (x..x + w).all(|x| (y..y + h).all(|y| x < 24 && places.insert((x, y))));
        assert!(is_free, "{} lies on another panel", text(&panel, "/title"));
    }
}

/// As rules, since promtool checks files of rules alone.
#[test]
#[ignore = "needs promtool"]
fn promtool_reads_each_query_of_the_dashboard() {
    let rules = queries_of_the_dashboard().into_iter().enumerate().map(|(number, (query, _))| {
        let query = query.replace("$__rate_interval", "5m");
        format!("      - {{ record: \"panel:query:{number}\", expr: '{query}' }}\n")
    });
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard.yml");
    fs::write(&file, format!("groups:\n  - name: dashboard\n    rules:\n{}", rules.collect::<String>())).unwrap();
    let checked = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

/// What Prometheus adds.
const TARGET_LABELS: [&str; 2] = ["instance", "job"];

//! Reads the JSON lines of tracing-subscriber.

use std::collections::BTreeSet;

use serde_json::Value;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::support::secrets::Ears;

/// What a subscriber has written.
#[derive(Clone, Default)]
pub(crate) struct Log(pub(crate) Ears);

/// A line: an event, or the end of a span.
#[derive(Debug)]
pub(crate) struct Line {
    /// An event's message, or "span" and a span's name.
    pub(crate) name: String,
    pub(crate) level: String,
    pub(crate) fields: serde_json::Map<String, Value>,
}

impl Log {
    /// Of this thread, while the guard lives.
    pub(crate) fn of_this_thread(level: LevelFilter) -> (Self, impl Sized) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(log.subscriber(level));
        (log, guard)
    }

    /// Of all threads that have no log of their own. Once in a process.
    pub(crate) fn of_all_threads() -> Self {
        let log = Self::default();
        tracing::subscriber::set_global_default(log.subscriber(LevelFilter::TRACE)).unwrap();
        log
    }

    fn subscriber(&self, level: LevelFilter) -> impl Subscriber + Send + Sync + use<> {
        let json = tracing_subscriber::fmt().json().with_span_events(FmtSpan::CLOSE).with_max_level(level);
        json.without_time().with_writer(self.0.clone()).finish()
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.0.heard().lines().map(|line| Line::read(&serde_json::from_str(line).unwrap())).collect()
    }

    /// The lines since the last look.
    pub(crate) fn take(&self) -> Vec<Line> {
        let lines = self.lines();
        self.0.forget();
        lines
    }

    /// Level and name of the lines since the last look.
    pub(crate) fn take_names(&self) -> Vec<String> {
        self.take().iter().map(|line| format!("{} {}", line.level, line.name)).collect()
    }
}

impl Line {
    fn read(line: &Value) -> Self {
        let level = line["level"].as_str().unwrap().to_owned();
        let mut fields = line["fields"].as_object().unwrap().clone();
        let mut name = fields.remove("message").unwrap().as_str().unwrap().to_owned();
        if name == "close" {
            fields = line["span"].as_object().unwrap().clone();
            name = format!("span {}", fields.remove("name").unwrap().as_str().unwrap());
        }
        Self { name, level, fields }
    }

    pub(crate) fn field_names(&self) -> BTreeSet<String> {
        self.fields.keys().cloned().collect()
    }

    /// The value of a text field, or an empty text.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

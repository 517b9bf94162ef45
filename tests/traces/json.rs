//! Reads the JSON lines of tracing-subscriber.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};
use tracing_subscriber::{
    fmt::format::FmtSpan,
    layer::{Context, Layer, SubscriberExt},
};

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
    pub(crate) fn of_all_threads() -> (Self, Unsigned) {
        let (log, unsigned) = (Self::default(), Unsigned::default());
        let subscriber = log.subscriber(LevelFilter::TRACE).with(unsigned.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        (log, unsigned)
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
        let text = |value: Option<Value>| value.unwrap().as_str().unwrap().to_owned();
        let [mut fields, mut span] = ["fields", "span"].map(|part| line[part].as_object().cloned().unwrap_or_default());
        let message = text(fields.remove("message"));
        if message == "close" {
            return Self { name: format!("span {}", text(span.remove("name"))), level, fields: span };
        }
        Self { name: message, level, fields }
    }

    pub(crate) fn field_names(&self) -> BTreeSet<String> {
        self.fields.keys().cloned().collect()
    }

    /// The value of a text field, or an empty text.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Notes the fields with unsigned numbers, which OpenTelemetry has not: they would become texts.
#[derive(Clone, Default)]
pub(crate) struct Unsigned(Arc<Mutex<BTreeSet<String>>>);

impl Unsigned {
    pub(crate) fn fields(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().clone()
    }
}

impl<S: Subscriber> Layer<S> for Unsigned {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        attributes.record(&mut self.clone());
    }

    fn on_record(&self, _: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        values.record(&mut self.clone());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Unsigned {
    fn record_u64(&mut self, field: &Field, _: u64) {
        self.0.lock().unwrap().insert(field.to_string());
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

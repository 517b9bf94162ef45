//! The page that Prometheus gets, and a look into it.

pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// Adds up the series of this name that have all of these labels, each written as `name="value"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let named = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let series = named.filter(|rest| rest.starts_with(['{', ' ']));
        let chosen = series.filter(|rest| labels.iter().all(|label| rest.contains(label)));
        chosen.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// The same of a counter.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are small and not negative")]
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> u64 {
        self.sum(name, labels) as u64
    }
}

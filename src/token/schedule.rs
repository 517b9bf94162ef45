//! When to refresh, when to try again, how long to leave a server alone: pure arithmetic.

use std::time::Duration;

use crate::{clock::Moment, error::AuthError};

/// When a token is refreshed, and how a failing authorization server is treated.
///
/// The defaults suit tokens of some minutes to some hours. Every duration is safe, however long: what is over ten years
/// counts as ten years.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::RefreshPolicy;
///
/// let policy = RefreshPolicy::default().refresh_at(0.5).deadline(Duration::from_secs(10));
/// # let _ = policy;
/// ```
#[derive(Clone, Debug)]
pub struct RefreshPolicy {
    refresh_at: f64,
    jitter: f64,
    expiry_margin: Duration,
    default_lifetime: Duration,
    deadline: Duration,
    attempts: u32,
    cool_down: (Duration, Duration),
}

impl RefreshPolicy {
    /// The fraction of its lifetime after which a token is refreshed by the next request, which does not wait for it.
    ///
    /// Default 0.75: a quarter of an hour for an outage to end with tokens of an hour, and a third more token requests
    /// than are needed at the least. It must be over 0 and under 1.
    pub fn refresh_at(mut self, fraction: f64) -> Self {
        self.refresh_at = fraction;
        self
    }

    /// How far each layer moves its `refresh_at`, at random and once, either way.
    ///
    /// Default 0.05, so that a fleet that started together does not refresh together. It must be at least 0 and under 1.
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction;
        self
    }

    /// How long before its end a token is used no more.
    ///
    /// Default 30 s: longer than a request is on its way, or two clocks disagree. Never more than a tenth of the
    /// lifetime, so that short tokens stay of use.
    pub fn expiry_margin(mut self, margin: Duration) -> Self {
        self.expiry_margin = margin;
        self
    }

    /// The lifetime of a token whose server gave none. Default 5 minutes: too short costs little.
    pub fn default_lifetime(mut self, lifetime: Duration) -> Self {
        self.default_lifetime = lifetime;
        self
    }

    /// How long one flight may take, all of its tries together.
    ///
    /// Default 30 s: three tries of a client's usual 10 s. It bounds the wait of a request that sets no `max_wait`.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// How many tries a flight makes while the failures are transient. Default 3; at least 1.
    pub fn attempts(mut self, n: u32) -> Self {
        self.attempts = n;
        self
    }

    /// How long no flight is started after one that failed: at first, and at the most, doubling in between.
    ///
    /// Default 1 s up to 60 s, each drawn at random between half and the whole. A refusal, which a person has to mend,
    /// starts ten times higher and goes five times as high: 10 s up to 5 minutes.
    pub fn cool_down(mut self, first: Duration, max: Duration) -> Self {
        self.cool_down = (first, max);
        self
    }

    pub(crate) fn check(&self) -> Result<(), AuthError> {
        if !(self.refresh_at > 0.0 && self.refresh_at < 1.0) {
            return Err(AuthError::config("refresh_at must be over 0 and under 1: a fraction of the token's lifetime"));
        }
        if !(self.jitter >= 0.0 && self.jitter < 1.0) {
            return Err(AuthError::config("jitter must be at least 0 and under 1: a fraction of the token's lifetime"));
        }
        if self.attempts == 0 {
            return Err(AuthError::config("attempts must be at least 1, or no token is ever asked for"));
        }
        Ok(())
    }

    /// The fraction at which one layer refreshes. At least half of what was asked for, whatever the jitter: a token that
    /// is refreshed as soon as it is there would be refreshed for ever.
    pub(crate) fn draw_refresh_at(&self, random: f64) -> f64 {
        let drawn = self.refresh_at + self.jitter * (2.0 * random - 1.0);
        drawn.clamp(self.refresh_at / 2.0, f64::midpoint(1.0, self.refresh_at))
    }

    pub(crate) fn life(&self, lifetime: Option<Duration>, born: Moment, refresh_at: f64) -> Life {
        let lifetime = bounded(lifetime.unwrap_or(self.default_lifetime));
        let use_for = lifetime.saturating_sub(self.expiry_margin.min(lifetime / 10));
        Life {
            refresh: born.after(lifetime.mul_f64(refresh_at).min(use_for)),
            usable: born.after(use_for),
            end: born.after(lifetime),
        }
    }

    pub(crate) fn flight_deadline(&self) -> Duration {
        bounded(self.deadline)
    }

    pub(crate) fn may_try_again(&self, tries: u32) -> bool {
        tries < self.attempts
    }

    /// How long nothing is started after the `failures`-th failed flight in a row.
    pub(crate) fn cool_down_after(&self, failures: u32, error: &AuthError, random: f64) -> Duration {
        let (first, max) = self.cool_down;
        let (first, max) = match error.kind() {
            crate::ErrorKind::Denied | crate::ErrorKind::Config => (first.saturating_mul(10), max.saturating_mul(5)),
            _ => (first, max),
        };
        let drawn = half_to_whole(doubled(first, max, failures), random);
        drawn.max(error.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER))
    }
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            refresh_at: 0.75,
            jitter: 0.05,
            expiry_margin: Duration::from_secs(30),
            default_lifetime: Duration::from_secs(300),
            deadline: Duration::from_secs(30),
            attempts: 3,
            cool_down: (Duration::from_secs(1), Duration::from_secs(60)),
        }
    }
}

/// The moments of one token's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) refresh: Moment,
    pub(crate) usable: Moment,
    pub(crate) end: Moment,
}

/// The pause after the `tries`-th try of a flight.
pub(crate) fn back_off(tries: u32, random: f64) -> Duration {
    half_to_whole(doubled(FIRST_BACK_OFF, LONGEST_BACK_OFF, tries), random)
}

/// How long renewals are spaced after the `unhealed`-th in a row that did not heal.
pub(crate) fn spacing(unhealed: u32, ever_accepted: bool) -> Duration {
    doubled(FIRST_SPACING, if ever_accepted { LONGEST_SPACING_ACCEPTED } else { LONGEST_SPACING }, unhealed)
}

/// `first` for the first time, twice that for the second, and so on up to `max`.
fn doubled(first: Duration, max: Duration, time: u32) -> Duration {
    let doublings = time.saturating_sub(1).min(31);
    bounded(first.saturating_mul(1 << doublings).min(max))
}

fn half_to_whole(whole: Duration, random: f64) -> Duration {
    whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

fn bounded(duration: Duration) -> Duration {
    duration.min(LONGEST)
}

/// What is longer is nobody's intention, and short enough to add and multiply without a thought.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
const FIRST_BACK_OFF: Duration = Duration::from_millis(200);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
const FIRST_SPACING: Duration = Duration::from_secs(1);
const LONGEST_SPACING: Duration = Duration::from_secs(60);
const LONGEST_SPACING_ACCEPTED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    const SECOND: Duration = Duration::from_secs(1);
    const BORN: Moment = Moment::from_nanos(1_000_000_000);

    fn life(lifetime: Duration) -> [Duration; 3] {
        let Life { refresh, usable, end } = RefreshPolicy::default().life(Some(lifetime), BORN, 0.75);
        [refresh, usable, end].map(|moment| BORN.until(moment))
    }

    #[test]
    fn t5_the_margin_is_thirty_seconds_but_at_most_a_tenth() {
        assert_eq!(life(3600 * SECOND), [2700 * SECOND, 3570 * SECOND, 3600 * SECOND]);
        assert_eq!(life(2 * SECOND), [1500, 1800, 2000].map(Duration::from_millis));
        assert_eq!(life(Duration::ZERO), [Duration::ZERO; 3]);
    }

    #[test]
    fn t5_the_margin_can_be_set_and_is_still_at_most_a_tenth() {
        let usable = |margin, lifetime| {
            let policy = RefreshPolicy::default().expiry_margin(margin);
            BORN.until(policy.life(Some(lifetime), BORN, 0.5).usable)
        };
        assert_eq!(usable(60 * SECOND, 3600 * SECOND), 3540 * SECOND);
        assert_eq!(usable(Duration::ZERO, 3600 * SECOND), 3600 * SECOND);
        assert_eq!(usable(60 * SECOND, 100 * SECOND), 90 * SECOND);
    }

    #[test]
    fn t4_a_refresh_is_never_later_than_the_last_use() {
        let late = RefreshPolicy::default().refresh_at(0.99).life(Some(100 * SECOND), BORN, 0.99);
        assert_eq!(late.refresh, late.usable);
    }

    #[test]
    fn t7_a_token_without_a_lifetime_gets_the_default() {
        let policy = RefreshPolicy::default().default_lifetime(60 * SECOND);
        assert_eq!(BORN.until(policy.life(None, BORN, 0.5).end), 60 * SECOND);
    }

    #[test]
    fn t4_the_jitter_goes_both_ways_and_never_to_an_immediate_refresh() {
        let policy = RefreshPolicy::default();
        assert!((policy.draw_refresh_at(0.0) - 0.70).abs() < 1e-9);
        assert!((policy.draw_refresh_at(0.5) - 0.75).abs() < 1e-9);
        assert!((policy.draw_refresh_at(1.0) - 0.80).abs() < 1e-9);
        let early = RefreshPolicy::default().refresh_at(0.01).jitter(0.99);
        assert!((early.draw_refresh_at(0.0) - 0.005).abs() < 1e-9);
        let late = RefreshPolicy::default().refresh_at(0.98).jitter(0.99);
        assert!((late.draw_refresh_at(1.0) - 0.99).abs() < 1e-9);
    }

    #[test]
    fn t7_what_is_longer_than_ten_years_counts_as_ten_years() {
        let seconds = 3650 * 86_400;
        assert_eq!(RefreshPolicy::default().deadline(Duration::MAX).flight_deadline(), seconds * SECOND);
        assert_eq!(life(Duration::MAX), [seconds / 4 * 3, seconds - 30, seconds].map(|seconds| seconds * SECOND));
    }

    fn cool_downs(kind: ErrorKind, random: f64) -> Vec<u64> {
        let error = AuthError::new(kind, "no");
        let policy = RefreshPolicy::default();
        (1..=10)
            .map(|n| policy.cool_down_after(n, &error, random))
            .map(|wait| u64::try_from(wait.as_millis()).unwrap())
            .collect()
    }

    #[test]
    fn t8_cool_downs_double_from_one_second_to_sixty() {
        let whole = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000];
        assert_eq!(cool_downs(ErrorKind::Unavailable, 1.0), whole);
        assert_eq!(cool_downs(ErrorKind::Malformed, 0.0), whole.map(|wait| wait / 2));
    }

    #[test]
    fn t8_a_refusal_is_left_alone_for_ten_seconds_to_five_minutes() {
        let whole = [10, 20, 40, 80, 160, 300, 300, 300, 300, 300].map(|wait| wait * 1_000);
        assert_eq!(cool_downs(ErrorKind::Denied, 1.0), whole);
    }

    #[test]
    fn t8_retry_after_counts_when_it_is_longer_and_at_most_an_hour() {
        let wait = |asked| {
            let error = AuthError::new(ErrorKind::Unavailable, "busy").with_retry_after(Some(asked));
            RefreshPolicy::default().cool_down_after(1, &error, 1.0)
        };
        assert_eq!(wait(Duration::from_millis(10)), SECOND);
        assert_eq!(wait(90 * SECOND), 90 * SECOND);
        assert_eq!(wait(Duration::MAX), 3600 * SECOND);
    }

    #[test]
    fn t9_the_pauses_of_a_flight_grow_and_have_an_end() {
        assert_eq!(back_off(1, 1.0), Duration::from_millis(200));
        assert_eq!(back_off(1, 0.0), Duration::from_millis(100));
        assert_eq!(back_off(2, 1.0), Duration::from_millis(400));
        assert_eq!(back_off(u32::MAX, 1.0), 5 * SECOND);
    }

    #[test]
    fn r5_spacings_double_to_a_minute_or_to_ten_seconds() {
        let seconds = |ever_accepted| [1, 2, 3, 4, 5, 6, 7, 99].map(|n| spacing(n, ever_accepted).as_secs());
        assert_eq!(seconds(false), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds(true), [1, 2, 4, 8, 10, 10, 10, 10]);
    }

    proptest! {
        #[test]
        fn t7_no_duration_and_no_fraction_breaks_the_arithmetic(
            lifetime: Option<Duration>, margin: Duration, default: Duration, first: Duration, max: Duration,
            retry_after: Option<Duration>, failures: u32, born: u64, fraction in 0.0..1.0_f64, random in 0.0..=1.0_f64,
        ) {
            let policy = RefreshPolicy::default()
                .expiry_margin(margin).default_lifetime(default).cool_down(first, max).deadline(max);
            let life = policy.life(lifetime, Moment::from_nanos(born), fraction);
            prop_assert!(life.refresh <= life.usable && life.usable <= life.end);
            let error = AuthError::new(ErrorKind::Denied, "no").with_retry_after(retry_after);
            prop_assert!(policy.cool_down_after(failures, &error, random) <= LONGEST.max(LONGEST_RETRY_AFTER));
            prop_assert!(policy.flight_deadline() <= LONGEST);
        }
    }
}

//! When to refresh, when to try again, how long to wait after a failure: settings and pure arithmetic.

use std::time::Duration;

use crate::error::{AuthError, ErrorKind};

/// Policy for refreshes, failed token fetches and rejected tokens.
///
/// The defaults suit tokens of some minutes to some hours. Any duration is safe: more than ten years counts as ten years.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::token::RefreshPolicy;
///
/// let policy = RefreshPolicy::default().refresh_at(0.5).deadline(Duration::from_secs(10));
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RefreshPolicy {
    refresh_at: f64,
    jitter: f64,
    expiry_margin: Duration,
    default_lifetime: Duration,
    deadline: Duration,
    attempts: u32,
    failure_backoff: (Duration, Duration),
    refusal_backoff: (Duration, Duration),
    renewal_budget: (u32, Duration),
}

impl RefreshPolicy {
    /// Sets the fraction of its lifetime after which a token is refreshed.
    ///
    /// Must be over 0 and under 1. The first request after that point starts the fetch and is sent with the old token.
    ///
    /// Default: 0.75. A token of an hour then survives an outage of the authorization server of 15 minutes, for a third
    /// more token requests than the minimum. Use a lower value to survive longer outages. No token is refreshed in its
    /// first second.
    pub fn refresh_at(mut self, fraction: f64) -> Self {
        self.refresh_at = fraction;
        self
    }

    /// Sets how far the refresh point of each layer is moved at random.
    ///
    /// A fraction of the lifetime, at least 0 and under 1. Each layer draws its offset from
    /// [`refresh_at`](Self::refresh_at) once, in either direction.
    ///
    /// Default: 0.05, so that processes that started together do not refresh together. 0 moves nothing.
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction;
        self
    }

    /// Sets how long before its end a token is no longer used.
    ///
    /// Default: 30 s, which is more than a request takes to arrive, and more than two clocks usually differ. At most a
    /// tenth of the lifetime whatever is set, so that short-lived tokens stay usable. Zero uses a token to its end.
    pub fn expiry_margin(mut self, margin: Duration) -> Self {
        self.expiry_margin = margin;
        self
    }

    /// Sets the lifetime that is assumed for a token whose server states none.
    ///
    /// Default: 5 minutes. A value that is too low only costs extra fetches; one that is too high is corrected by the
    /// API's 401.
    pub fn default_lifetime(mut self, lifetime: Duration) -> Self {
        self.default_lifetime = lifetime;
        self
    }

    /// Sets how long one token fetch may take, all of its attempts together.
    ///
    /// Default: 30 s, three attempts of a token request's usual 10 s. It also bounds the wait of a request without a
    /// [`max_wait`](crate::AuthLayerBuilder::max_wait). With zero, every fetch fails.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// Sets how many attempts one fetch makes while its failures are transient.
    ///
    /// Must be at least 1. Default: 3, with pauses of 200 ms and 400 ms, each drawn between half and the whole, or the
    /// server's `Retry-After`.
    pub fn attempts(mut self, n: u32) -> Self {
        self.attempts = n;
        self
    }

    /// Sets the backoff after a transient failure: the first one and the longest.
    ///
    /// Default: 1 s, doubling to 60 s. Each is drawn between half and the whole; a longer `Retry-After` counts instead, up
    /// to an hour. Until it ends, requests without a usable token fail at once with the same error.
    /// [`TokenHandle::refresh`](crate::token::TokenHandle::refresh) and
    /// [`Credentials::rotate`](crate::Credentials::rotate) end it. Zero sends the next token request at once.
    pub fn failure_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.failure_backoff = (first, max);
        self
    }

    /// Sets the backoff after a permanent failure: the first one and the longest.
    ///
    /// Permanent are `Denied`, `Malformed` and `Config`.
    ///
    /// Default: 10 s, doubling to 5 minutes, since a person has to correct something first. Use a lower value where a
    /// new secret takes a while to reach all authorization servers.
    pub fn refusal_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.refusal_backoff = (first, max);
        self
    }

    /// Sets how many token fetches rejected requests may cause.
    ///
    /// These are `burst` fetches at once, and one more after each `refill`.
    ///
    /// Default: 4, and one more every 10 s. A renewal that helps is not counted. So a token that is revoked once a second
    /// is renewed once a second, while an API that rejects everything causes 10 token requests in its first minute and 6 in
    /// each further one. Further rejections are marked
    /// [`NotReplayed::Throttled`](crate::rejection::NotReplayed::Throttled). With a burst of 0 no rejection causes a fetch.
    /// The [guide](crate::guide::rejections) has the whole rule.
    pub fn renewal_budget(mut self, burst: u32, refill: Duration) -> Self {
        self.renewal_budget = (burst, refill);
        self
    }

    pub(crate) fn check(&self) -> Result<(), AuthError> {
        if !(self.refresh_at > 0.0 && self.refresh_at < 1.0) {
            return Err(AuthError::config(format!(
                "refresh_at({}): not a fraction of the token's lifetime; use a number over 0 and under 1",
                self.refresh_at
            )));
        }
        if !(self.jitter >= 0.0 && self.jitter < 1.0) {
            return Err(AuthError::config(format!(
                "jitter({}): not a fraction of the token's lifetime; use a number of at least 0 and under 1",
                self.jitter
            )));
        }
        if self.attempts == 0 {
            return Err(AuthError::config("attempts(0): no token would ever be requested; use at least 1"));
        }
        Ok(())
    }

    /// The fraction at which one layer refreshes. At least half of what was set, whatever the jitter, or a token could be
    /// refreshed as soon as it is there.
    pub(crate) fn draw_refresh_at(&self, random: f64) -> f64 {
        let drawn = self.refresh_at + self.jitter * (2.0 * random - 1.0);
        drawn.clamp(self.refresh_at / 2.0, f64::midpoint(1.0, self.refresh_at))
    }

    /// How long a token lives whose server says so.
    pub(crate) fn lifetime(&self, said: Option<Duration>) -> Duration {
        bounded(said.unwrap_or(self.default_lifetime))
    }

    /// The ages of a token that matter. `age` is its age when the fetch has ended.
    pub(crate) fn life(&self, lifetime: Option<Duration>, age: Duration, refresh_at: f64) -> Life {
        let lifetime = self.lifetime(lifetime);
        let usable_for = lifetime.saturating_sub(self.expiry_margin.min(lifetime / 10));
        let stale_after = lifetime.mul_f64(refresh_at).min(usable_for);
        let earliest = age.saturating_add(MIN_FETCH_INTERVAL);
        Life { stale_after: stale_after.max(earliest), usable_for: usable_for.max(earliest) }
    }

    /// How long one fetch may take.
    pub(crate) fn fetch_deadline(&self) -> Duration {
        bounded(self.deadline)
    }

    pub(crate) fn allows_another_attempt(&self, attempts: u32) -> bool {
        attempts < self.attempts
    }

    /// How long no fetch begins after the `failures`-th that failed in a row.
    pub(crate) fn backoff(&self, failures: u32, error: &AuthError, random: f64) -> Duration {
        let (first, max) = match error.kind() {
            ErrorKind::Denied | ErrorKind::Malformed | ErrorKind::Config => self.refusal_backoff,
            _ => self.failure_backoff,
        };
        let drawn = half_to_whole(doubled(first, max, failures), random);
        drawn.max(error.retry_after().unwrap_or_default().min(MAX_RETRY_AFTER))
    }

    pub(crate) fn budget(&self) -> (u32, Duration) {
        let (burst, refill) = self.renewal_budget;
        (burst, bounded(refill))
    }
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            refresh_at: 0.75,
            jitter: 0.05,
            expiry_margin: seconds(30),
            default_lifetime: seconds(300),
            deadline: seconds(30),
            attempts: 3,
            failure_backoff: (seconds(1), seconds(60)),
            refusal_backoff: (seconds(10), seconds(300)),
            renewal_budget: (4, seconds(10)),
        }
    }
}

/// The ages of one token from which on it is to be refreshed, and no longer to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) stale_after: Duration,
    pub(crate) usable_for: Duration,
}

/// The pause after the `attempts`-th attempt of a fetch.
pub(crate) fn attempt_pause(attempts: u32, random: f64) -> Duration {
    half_to_whole(doubled(FIRST_ATTEMPT_PAUSE, MAX_ATTEMPT_PAUSE, attempts), random)
}

/// `first` for the first time, twice that for the second, and so on up to `max`.
fn doubled(first: Duration, max: Duration, time: u32) -> Duration {
    let doublings = time.saturating_sub(1).min(31);
    bounded(first.saturating_mul(1 << doublings).min(max))
}

fn half_to_whole(whole: Duration, random: f64) -> Duration {
    whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

pub(super) fn bounded(duration: Duration) -> Duration {
    duration.min(TEN_YEARS)
}

/// How far fetches are apart however short-lived a token is, and begins of a refresh whose runtime ends again and again.
pub(crate) const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(1);
/// Short enough to be added and multiplied without overflow.
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);
const FIRST_ATTEMPT_PAUSE: Duration = Duration::from_millis(200);
const MAX_ATTEMPT_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn life(lifetime: Duration) -> [Duration; 2] {
        let Life { stale_after, usable_for } = RefreshPolicy::default().life(Some(lifetime), Duration::ZERO, 0.75);
        [stale_after, usable_for]
    }

    #[test]
    fn t5_the_margin_is_thirty_seconds_but_at_most_a_tenth() {
        assert_eq!(life(3600 * SECOND), [2700 * SECOND, 3570 * SECOND]);
        assert_eq!(life(2 * SECOND), [1500, 1800].map(Duration::from_millis));
    }

    #[test]
    fn t6_no_token_is_refreshed_or_given_up_in_its_first_second() {
        assert_eq!(life(Duration::ZERO), [SECOND; 2]);
        assert_eq!(life(Duration::from_millis(1_200)), [SECOND, Duration::from_millis(1_080)]);
        let late = RefreshPolicy::default().life(Some(SECOND), 5 * SECOND, 0.75);
        assert_eq!(late, Life { stale_after: 6 * SECOND, usable_for: 6 * SECOND }, "counted from the end of the fetch");
    }

    #[test]
    fn t5_the_margin_can_be_set_and_is_still_at_most_a_tenth() {
        let usable = |margin, lifetime| {
            let policy = RefreshPolicy::default().expiry_margin(margin);
            policy.life(Some(lifetime), Duration::ZERO, 0.5).usable_for
        };
        assert_eq!(usable(60 * SECOND, 3600 * SECOND), 3540 * SECOND);
        assert_eq!(usable(Duration::ZERO, 3600 * SECOND), 3600 * SECOND);
        assert_eq!(usable(60 * SECOND, 100 * SECOND), 90 * SECOND);
    }

    #[test]
    fn t4_a_refresh_is_never_later_than_the_last_use() {
        let late = RefreshPolicy::default().refresh_at(0.99).life(Some(100 * SECOND), Duration::ZERO, 0.99);
        assert_eq!(late.stale_after, late.usable_for);
    }

    #[test]
    fn t7_a_token_without_a_lifetime_gets_the_default() {
        let policy = RefreshPolicy::default().default_lifetime(60 * SECOND);
        assert_eq!(policy.life(None, Duration::ZERO, 0.5).usable_for, 54 * SECOND);
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
    fn t7_more_than_ten_years_counts_as_ten_years() {
        let seconds = 3650 * 86_400;
        assert_eq!(RefreshPolicy::default().deadline(Duration::MAX).fetch_deadline(), seconds * SECOND);
        assert_eq!(life(Duration::MAX), [seconds / 4 * 3, seconds - 30].map(|seconds| seconds * SECOND));
    }

    fn backoffs(kind: ErrorKind, random: f64) -> Vec<u64> {
        let error = AuthError::new(kind, "no");
        let policy = RefreshPolicy::default();
        (1..=10)
            .map(|n| policy.backoff(n, &error, random))
            .map(|wait| u64::try_from(wait.as_millis()).unwrap())
            .collect()
    }

    #[test]
    fn t8_the_backoff_doubles_from_one_second_to_sixty() {
        let whole = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000];
        assert_eq!(backoffs(ErrorKind::Unavailable, 1.0), whole);
        assert_eq!(backoffs(ErrorKind::Timeout, 0.0), whole.map(|wait| wait / 2));
    }

    #[test]
    fn t8_the_backoff_after_a_permanent_failure_is_ten_seconds_to_five_minutes() {
        let whole = [10, 20, 40, 80, 160, 300, 300, 300, 300, 300].map(|wait| wait * 1_000);
        for kind in [ErrorKind::Denied, ErrorKind::Malformed, ErrorKind::Config] {
            assert_eq!(backoffs(kind, 1.0), whole);
        }
    }

    #[test]
    fn t8_retry_after_counts_when_it_is_longer_and_at_most_an_hour() {
        let wait = |asked| {
            let error = AuthError::new(ErrorKind::Unavailable, "busy").with_retry_after(Some(asked));
            RefreshPolicy::default().backoff(1, &error, 1.0)
        };
        assert_eq!(wait(Duration::from_millis(10)), SECOND);
        assert_eq!(wait(90 * SECOND), 90 * SECOND);
        assert_eq!(wait(Duration::MAX), 3600 * SECOND);
    }

    #[test]
    fn t9_the_pauses_between_attempts_grow_and_have_a_limit() {
        assert_eq!(attempt_pause(1, 1.0), Duration::from_millis(200));
        assert_eq!(attempt_pause(1, 0.0), Duration::from_millis(100));
        assert_eq!(attempt_pause(2, 1.0), Duration::from_millis(400));
        assert_eq!(attempt_pause(u32::MAX, 1.0), 5 * SECOND);
    }

    proptest! {
        #[test]
        fn t7_no_duration_and_no_fraction_breaks_the_arithmetic(
            lifetime: Option<Duration>, margin: Duration, default: Duration, first: Duration, max: Duration,
            retry_after: Option<Duration>, failures: u32, age: Duration, fraction in 0.0..1.0_f64, random in 0.0..=1.0_f64,
        ) {
            let policy = RefreshPolicy::default()
                .expiry_margin(margin).default_lifetime(default).refusal_backoff(first, max).deadline(max);
            let life = policy.life(lifetime, age, fraction);
            prop_assert!(life.stale_after <= life.usable_for);
            let error = AuthError::new(ErrorKind::Denied, "no").with_retry_after(retry_after);
            prop_assert!(policy.backoff(failures, &error, random) <= TEN_YEARS.max(MAX_RETRY_AFTER));
            prop_assert!(policy.fetch_deadline() <= TEN_YEARS);
        }
    }
}

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

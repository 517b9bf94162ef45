//! The only file that reads clocks and makes timers; and the times in headers.

use std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap,
    header::{AGE, DATE, RETRY_AFTER},
};
pub(crate) use tokio::time::Instant;
use tokio::{
    runtime::{Handle, Id},
    time::Sleep,
};

use crate::error::AuthError;

/// A moment on tokio's clock, which tests can pause and advance, and on the wall clock, which runs on while a machine is
/// suspended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    #[inline]
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }

    /// The time since an earlier moment, by whichever clock says that more has passed.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let by_tokio = self.instant.saturating_duration_since(earlier.instant);
        // An error says that the wall clock was set back.
        by_tokio.max(self.wall.duration_since(earlier.wall).unwrap_or_default())
    }
}

/// The clock of one layer's requests: reads tokio's clock for each, and the wall clock once a millisecond.
///
/// That is as safe as reading both: a machine needs more than a millisecond to suspend and to wake up.
#[derive(Debug)]
pub(crate) struct RequestClock {
    start: Moment,
    /// When the wall clock was read, in nanoseconds from `start` by tokio's clock.
    wall_read_at: AtomicI64,
    /// How much more time had passed by the wall clock then, in nanoseconds.
    drift: AtomicI64,
}

/// The time of one request, in nanoseconds from the start of its layer's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestTime {
    passed: i64,
    drift: i64,
}

impl RequestClock {
    pub(crate) fn new() -> Self {
        Self { start: Moment::now(), wall_read_at: AtomicI64::new(0), drift: AtomicI64::new(0) }
    }

    #[inline]
    pub(crate) fn now(&self) -> RequestTime {
        self.now_at(instant())
    }

    /// The same for a caller that has read tokio's clock.
    #[inline]
    pub(crate) fn now_at(&self, instant: Instant) -> RequestTime {
        let passed = self.passed_at(instant);
        if passed - self.wall_read_at.load(Relaxed) >= WALL_INTERVAL {
            self.read_wall(passed);
        }
        RequestTime { passed, drift: self.drift.load(Relaxed) }
    }

    #[cold]
    fn read_wall(&self, passed: i64) {
        self.drift.store(self.at(Moment::now()).drift, Relaxed);
        self.wall_read_at.store(passed, Relaxed);
    }

    /// A moment, perhaps before the start, as the time of a request.
    pub(crate) fn at(&self, moment: Moment) -> RequestTime {
        let (start, instant) = (self.start.instant, moment.instant);
        let ahead = nanos(instant.saturating_duration_since(start)).cast_signed();
        let passed = ahead - nanos(start.saturating_duration_since(instant)).cast_signed();
        let wall_passed = unix_nanos(moment.wall) - unix_nanos(self.start.wall);
        RequestTime { passed, drift: wall_passed.saturating_sub(passed) }
    }

    /// The nanoseconds since the start, by tokio's clock alone.
    #[inline]
    pub(crate) fn passed(&self) -> i64 {
        self.passed_at(instant())
    }

    #[inline]
    fn passed_at(&self, instant: Instant) -> i64 {
        nanos(instant.saturating_duration_since(self.start.instant)).cast_signed()
    }

    /// What tokio's clock says this many nanoseconds after the start.
    pub(crate) fn instant(&self, passed: i64) -> Instant {
        after(self.start.instant, Duration::from_nanos(u64::try_from(passed).unwrap_or(0)))
    }

    /// What the wall clock says at this time.
    pub(crate) fn wall(&self, time: RequestTime) -> SystemTime {
        let passed = time.passed + time.drift;
        let distance = Duration::from_nanos(passed.unsigned_abs());
        let wall =
            if passed < 0 { self.start.wall.checked_sub(distance) } else { self.start.wall.checked_add(distance) };
        wall.unwrap_or(self.start.wall)
    }
}

impl RequestTime {
    /// Nanoseconds since the start, by tokio's clock.
    #[inline]
    pub(crate) fn passed(self) -> i64 {
        self.passed
    }

    /// The nanoseconds since an earlier time, by whichever clock says that more have passed.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        let by_tokio = self.passed - earlier.passed;
        // The sum fits, as it is what has passed by the wall clock, but the difference of the drifts need not.
        let by_wall = by_tokio.wrapping_add(self.drift.wrapping_sub(earlier.drift));
        u64::try_from(by_tokio.max(by_wall)).unwrap_or(0)
    }
}

/// Tokio's clock alone, for intervals that no suspension need shorten.
#[inline]
#[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// A later instant; the same one where that is beyond what the clock can count.
pub(crate) fn after(instant: Instant, wait: Duration) -> Instant {
    instant.checked_add(wait).unwrap_or(instant)
}

/// A timer; `None` outside of a runtime, and in one that was built without timers.
#[expect(clippy::disallowed_methods, reason = "this file is where timers are made")]
pub(crate) fn sleep(wait: Duration) -> Option<Sleep> {
    with_timers(|| tokio::time::sleep(wait))
}

/// The output of the future; `None` if it takes longer than the limit.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) where there are no timers.
#[expect(clippy::disallowed_methods, reason = "this file is where timers are made")]
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Result<Option<F::Output>, AuthError> {
    let limited = with_timers(|| tokio::time::timeout(limit, future)).ok_or_else(no_timers)?;
    Ok(limited.await.ok())
}

/// Whether timers can be made here.
pub(crate) fn has_timers() -> bool {
    sleep(Duration::ZERO).is_some()
}

/// The error where a timer is needed and [`sleep`] makes none.
pub(crate) fn no_timers() -> AuthError {
    AuthError::config(match Handle::try_current() {
        Ok(_) => "the tokio runtime has no timers: call enable_time() or enable_all() on its builder",
        Err(_) => "no tokio runtime: a limited wait needs one that has timers",
    })
}

/// Tokio does not tell whether a runtime has timers, but panics where they are made without. What panicked once is not
/// tried again, as the message of each panic is printed.
fn with_timers<T>(make: impl FnOnce() -> T) -> Option<T> {
    thread_local! {
        static WITHOUT_TIMERS: Cell<Option<Id>> = const { Cell::new(None) };
    }
    let runtime = Handle::try_current().ok()?.id();
    if WITHOUT_TIMERS.get() == Some(runtime) {
        return None;
    }
    let timer = catch_unwind(AssertUnwindSafe(make)).ok();
    if timer.is_none() {
        WITHOUT_TIMERS.set(Some(runtime));
    }
    timer
}

/// When the response was made, unless a cache may have kept it since (RFC 9111, section 5.1).
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    if headers.contains_key(AGE) {
        return None;
    }
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// How long the server asks to be left alone (RFC 9110, section 10.2.3), by its own clock where it names a date. More than
/// a day is taken for a mistake, such as a point in time instead of seconds.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    // `parse` alone would accept a sign.
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().ok()?)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        until.duration_since(date(headers).unwrap_or(now)).ok()?
    };
    (wait <= A_DAY).then_some(wait)
}

/// At most some 292 years, so that differences fit too.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into());
    nanos.min(u64::MAX / 4)
}

/// From 1970 to 2261, so that the difference of any two fits, and another year.
fn unix_nanos(wall: SystemTime) -> i64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).map_or(LAST_WALL, |nanos| nanos.min(LAST_WALL))
}

const LAST_WALL: i64 = i64::MAX - 365 * 86_400_000_000_000;
/// In nanoseconds.
const WALL_INTERVAL: i64 = 1_000_000;
const A_DAY: Duration = Duration::from_secs(86_400);
#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::{HeaderName, HeaderValue};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn t13_the_clock_that_ran_further_counts() {
        let start = Moment::now();
        let later = |tokio, wall| Moment { instant: start.instant + tokio, wall: start.wall + wall };
        assert_eq!(later(HOUR, Duration::ZERO).since(start), HOUR, "a paused test");
        assert_eq!(later(Duration::ZERO, HOUR).since(start), HOUR, "a suspended machine");
        let set_back = Moment { instant: start.instant + MINUTE, wall: start.wall - HOUR };
        assert_eq!(set_back.since(start), MINUTE);
    }

    /// 1970 is what the clock of a machine without a battery begins with.
    #[test]
    fn t13_a_wall_clock_may_jump_to_any_year_from_1970_to_2200_and_back() {
        const YEAR: Duration = Duration::from_secs(31_556_952);
        let tokio = instant();
        let at = |year: u32| Moment { instant: tokio, wall: UNIX_EPOCH + (year - 1970) * YEAR };
        let years = [1970, 1971, 2026, 2027, 2100, 2200];
        for start in years {
            let clock = RequestClock { start: at(start), wall_read_at: AtomicI64::new(0), drift: AtomicI64::new(0) };
            for (from, to) in years.into_iter().flat_map(|from| years.map(|to| (from, to))) {
                let (earlier, later) = (clock.at(at(from)), clock.at(at(to)));
                assert_eq!(clock.wall(later), at(to).wall, "{to}, by a clock that was started in {start}");
                let passed = at(to).since(at(from));
                assert_eq!(u128::from(later.nanos_since(earlier)), passed.as_nanos(), "from {from} to {to}");
            }
        }
    }

    #[test]
    fn t7_no_duration_overflows_an_instant() {
        let now = instant();
        assert_eq!(after(now, Duration::MAX), now);
    }

    const NOW: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const IN_A_MINUTE: &str = "Tue, 14 Nov 2023 22:14:20 GMT";

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn asked(pairs: &[(HeaderName, &'static str)]) -> Option<Duration> {
        retry_after(&headers(pairs), UNIX_EPOCH + Duration::from_secs(1_700_000_000))
    }

    #[test]
    fn r8_a_date_from_a_cache_is_no_clock() {
        let unix = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(date(&headers(&[(DATE, NOW)])).map(unix), Some(1_700_000_000));
        assert_eq!(date(&headers(&[(DATE, NOW), (AGE, "0")])), None);
        assert_eq!(date(&headers(&[(DATE, "yesterday")])), None);
    }

    #[test]
    fn t8_retry_after_is_seconds_or_a_date_and_at_most_a_day() {
        assert_eq!(asked(&[(RETRY_AFTER, "120")]), Some(Duration::from_secs(120)));
        assert_eq!(asked(&[(RETRY_AFTER, IN_A_MINUTE)]), Some(MINUTE));
        assert_eq!(asked(&[(RETRY_AFTER, IN_A_MINUTE), (DATE, IN_A_MINUTE)]), Some(Duration::ZERO));
        assert_eq!(asked(&[(RETRY_AFTER, NOW), (DATE, IN_A_MINUTE)]), None);
        for nonsense in ["-1", "soon", "1.5", "", "1771404540", "86401"] {
            assert_eq!(asked(&[(RETRY_AFTER, nonsense)]), None, "{nonsense}");
        }
    }
}

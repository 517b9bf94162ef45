//! The only file that reads clocks and makes timers; times in headers; and the servers' clocks, as far as they are known.

use std::{
    future::Future,
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use http::{
    HeaderMap,
    header::{AGE, DATE, RETRY_AFTER},
};
pub(crate) use tokio::time::Instant;
use tokio::{runtime::Handle, time::Sleep};

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
    wall_read_at: AtomicU64,
    /// How much more time had passed by the wall clock then, in nanoseconds.
    drift: AtomicI64,
}

/// The time of one request, in nanoseconds from the start of its layer's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestTime {
    pub(crate) instant: Instant,
    passed: i64,
    drift: i64,
}

impl RequestClock {
    pub(crate) fn new() -> Self {
        Self { start: Moment::now(), wall_read_at: AtomicU64::new(0), drift: AtomicI64::new(0) }
    }

    #[inline]
    pub(crate) fn now(&self) -> RequestTime {
        let instant = instant();
        let passed = nanos(instant.saturating_duration_since(self.start.instant));
        if passed.wrapping_sub(self.wall_read_at.load(Relaxed)) >= WALL_INTERVAL {
            self.read_wall(passed);
        }
        RequestTime { instant, passed: passed.cast_signed(), drift: self.drift.load(Relaxed) }
    }

    #[cold]
    fn read_wall(&self, passed: u64) {
        self.drift.store(self.at(Moment::now()).drift, Relaxed);
        self.wall_read_at.store(passed, Relaxed);
    }

    /// A moment, perhaps before the start, as the time of a request.
    pub(crate) fn at(&self, moment: Moment) -> RequestTime {
        let signed = |later: Duration, earlier: Duration| nanos(later).cast_signed() - nanos(earlier).cast_signed();
        let (start, instant) = (self.start.instant, moment.instant);
        let passed = signed(instant.saturating_duration_since(start), start.saturating_duration_since(instant));
        let wall_passed = match moment.wall.duration_since(self.start.wall) {
            Ok(passed) => signed(passed, Duration::ZERO),
            Err(before) => signed(Duration::ZERO, before.duration()),
        };
        RequestTime { instant, passed, drift: wall_passed - passed }
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
    /// The nanoseconds since an earlier time, by whichever clock says that more have passed.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        let by_tokio = self.passed - earlier.passed;
        let by_wall = by_tokio + (self.drift - earlier.drift);
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

/// A timer; `None` outside of a runtime, where none can run.
#[expect(clippy::disallowed_methods, reason = "this file is where timers are made")]
pub(crate) fn sleep(wait: Duration) -> Option<Sleep> {
    Handle::try_current().ok().map(|_| tokio::time::sleep(wait))
}

/// The output of the future, unless it takes longer than the limit.
#[expect(clippy::disallowed_methods, reason = "this file is where timers are made")]
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
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

/// Names an origin among the learnt clocks; made by `origin.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OriginKey(pub(crate) NonZero<u64>);

/// How far each server's clock is from the wall clock of this machine (guarantee R8).
#[derive(Debug, Default)]
pub(crate) struct ServerClocks {
    /// Whether there is anything to look up: for most layers there never is.
    has_learnt: AtomicBool,
    /// Replaced as a whole, under the lock.
    learnt: ArcSwapOption<Vec<Learnt>>,
    change: Mutex<()>,
    /// Of the token endpoint, by its last token response, in milliseconds.
    token_endpoint: AtomicI64,
}

#[derive(Clone, Debug)]
struct Learnt {
    origin: OriginKey,
    /// The server's clock minus ours, in milliseconds.
    offset: i64,
    /// Whether the API itself told it, and not the token endpoint beside it.
    by_api: bool,
    /// A large step that waits for a second opinion.
    candidate: Option<i64>,
}

impl ServerClocks {
    /// The time by the clock of this origin.
    #[inline]
    pub(crate) fn now_at(&self, origin: Option<OriginKey>, wall: SystemTime) -> SystemTime {
        if self.has_learnt.load(Relaxed) { self.look_up(origin, wall) } else { wall }
    }

    #[cold]
    fn look_up(&self, origin: Option<OriginKey>, wall: SystemTime) -> SystemTime {
        let learnt = self.learnt.load();
        let known = learnt.iter().flat_map(|learnt| learnt.iter()).find(|known| Some(known.origin) == origin);
        known.map_or(wall, |known| shifted(wall, known.offset))
    }

    /// The time by the clock of the token endpoint.
    pub(crate) fn now_at_token_endpoint(&self, wall: SystemTime) -> SystemTime {
        shifted(wall, self.token_endpoint.load(Relaxed))
    }

    /// Learns from the `Date` of an API's response; says whether the clock of that origin is another one now.
    ///
    /// `sent` and `now` are when the request was sent and when the response was there: the server named a moment between
    /// them. A step smaller than `smallest_step` counts for none.
    pub(crate) fn learn(
        &self,
        origin: OriginKey,
        date: SystemTime,
        sent: Instant,
        now: Moment,
        smallest_step: Duration,
    ) -> bool {
        let Some(offset) = offset(date, sent, now) else {
            return false;
        };
        self.change(origin, |known| {
            known.by_api = true;
            let agrees = |candidate: i64| candidate.abs_diff(offset) <= AGREEMENT;
            let is_step = known.offset.abs_diff(offset) > LARGE_STEP;
            if is_step && !known.candidate.is_some_and(agrees) {
                known.candidate = Some(offset);
                return false;
            }
            known.candidate = None;
            let differs = u128::from(known.offset.abs_diff(offset)) >= smallest_step.as_millis();
            if differs {
                known.offset = offset;
            }
            differs
        })
    }

    /// Takes the `Date` of a token response as a hint: for its own origin, and until the API has told its own time.
    pub(crate) fn hint(&self, token_endpoint: OriginKey, date: SystemTime, sent: Instant, now: Moment) {
        let Some(offset) = offset(date, sent, now) else {
            return;
        };
        self.token_endpoint.store(offset, Relaxed);
        if offset == 0 && !self.has_learnt.load(Relaxed) {
            return;
        }
        self.change(token_endpoint, |known| {
            if known.by_api {
            } else if known.offset.abs_diff(offset) > LARGE_STEP {
                known.candidate = Some(offset);
            } else {
                known.offset = offset;
            }
        });
    }

    fn change<T>(&self, origin: OriginKey, change: impl FnOnce(&mut Learnt) -> T) -> T {
        let _guard = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut learnt = self.learnt.load().as_deref().cloned().unwrap_or_default();
        let position = learnt.iter().position(|known| known.origin == origin);
        let mut known = match position {
            Some(position) => learnt.remove(position),
            None => Learnt { origin, offset: 0, by_api: false, candidate: None },
        };
        let changed = change(&mut known);
        // The one that changed last stands last, so the first is the one to forget.
        if learnt.len() >= MOST_ORIGINS {
            learnt.remove(0);
        }
        learnt.push(known);
        self.learnt.store(Some(Arc::new(learnt)));
        self.has_learnt.store(true, Relaxed);
        changed
    }
}

/// The server's clock minus ours in milliseconds, if the difference can be meant.
fn offset(date: SystemTime, sent: Instant, now: Moment) -> Option<i64> {
    let half_way = now.instant.saturating_duration_since(sent) / 2;
    let midpoint = unix_millis(now.wall).saturating_sub(millis(half_way));
    let offset = unix_millis(date).saturating_sub(midpoint);
    match offset.unsigned_abs() {
        ..SMALLEST_OFFSET => Some(0),
        SMALLEST_OFFSET..=LARGEST_OFFSET => Some(offset),
        _ => None,
    }
}

fn shifted(wall: SystemTime, offset: i64) -> SystemTime {
    let shift = Duration::from_millis(offset.unsigned_abs());
    let shifted = if offset < 0 { wall.checked_sub(shift) } else { wall.checked_add(shift) };
    shifted.unwrap_or(wall)
}

/// At most some 292 years, so that differences fit too.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into());
    nanos.min(u64::MAX / 4)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => millis(before.duration()).saturating_neg(),
    }
}

/// In nanoseconds.
const WALL_INTERVAL: u64 = 1_000_000;
const A_DAY: Duration = Duration::from_secs(86_400);
/// In milliseconds: what is less may be the resolution of `Date`, of a second, and the way of the response.
const SMALLEST_OFFSET: u64 = 2_000;
/// In milliseconds, a day: a `Date` further off says more about the server than about our clock.
const LARGEST_OFFSET: u64 = 86_400_000;
/// In milliseconds: a larger step counts only when a second response agrees, so that one wrong `Date` costs one request.
const LARGE_STEP: u64 = 300_000;
const AGREEMENT: u64 = 30_000;
/// A smaller difference between two readings of `Date` says nothing.
pub(crate) const DATE_RESOLUTION: Duration = Duration::from_secs(1);
/// For `any_origin`, which any number of servers may answer.
const MOST_ORIGINS: usize = 64;

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const API: OriginKey = origin(1);

    const fn origin(number: u64) -> OriginKey {
        match NonZero::new(number) {
            Some(number) => OriginKey(number),
            None => OriginKey(NonZero::<u64>::MAX),
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn offset_at(clocks: &ServerClocks, origin: OriginKey) -> i64 {
        let wall = Moment::now().wall;
        unix_millis(clocks.now_at(Some(origin), wall)) - unix_millis(wall)
    }

    /// What a response at once teaches, whose `Date` is this far from the wall clock.
    fn learn(clocks: &ServerClocks, date: impl Fn(SystemTime) -> SystemTime) -> bool {
        let now = Moment::now();
        clocks.learn(API, date(now.wall), now.instant, now, DATE_RESOLUTION)
    }

    #[test]
    fn r8_an_offset_is_learnt_both_ways() {
        let clocks = ServerClocks::default();
        assert!(learn(&clocks, |now| now + 4 * MINUTE));
        assert_eq!(offset_at(&clocks, API), 240_000);
        assert!(learn(&clocks, |now| now - MINUTE));
        assert_eq!(offset_at(&clocks, API), -60_000);
    }

    #[test]
    fn r8_an_offset_under_two_seconds_or_over_a_day_is_ignored() {
        let clocks = ServerClocks::default();
        for millis in [0, 1_999] {
            assert!(!learn(&clocks, |now| now + Duration::from_millis(millis)));
            assert!(!learn(&clocks, |now| now - Duration::from_millis(millis)));
        }
        for _ in 0..2 {
            assert!(!learn(&clocks, |now| now + 25 * HOUR));
            assert!(!learn(&clocks, |now| now - 25 * HOUR));
            assert!(!learn(&clocks, |_| UNIX_EPOCH - HOUR));
        }
        assert_eq!(offset_at(&clocks, API), 0);
        learn(&clocks, |now| now + 23 * HOUR);
        assert!(learn(&clocks, |now| now + 23 * HOUR));
    }

    #[test]
    fn r8_a_step_of_more_than_five_minutes_takes_a_second_opinion() {
        let clocks = ServerClocks::default();
        assert!(!learn(&clocks, |now| now + HOUR));
        assert!(!learn(&clocks, |now| now + 2 * HOUR), "the two disagree");
        assert_eq!(offset_at(&clocks, API), 0);
        assert!(learn(&clocks, |now| now + 2 * HOUR + Duration::from_secs(29)));
        assert_eq!(offset_at(&clocks, API), 7_229_000);
    }

    #[test]
    fn r8_the_same_offset_again_changes_nothing() {
        let clocks = ServerClocks::default();
        assert!(learn(&clocks, |now| now + MINUTE));
        assert!(!learn(&clocks, |now| now + MINUTE + Duration::from_millis(500)));
    }

    #[test]
    fn r8_each_origin_has_its_own_clock() {
        let clocks = ServerClocks::default();
        learn(&clocks, |now| now + MINUTE);
        assert_eq!(offset_at(&clocks, origin(2)), 0);
        let now = Moment::now();
        for other in 2..500 {
            clocks.learn(origin(other), now.wall + MINUTE, now.instant, now, DATE_RESOLUTION);
        }
        assert_eq!(offset_at(&clocks, origin(499)), 60_000);
        assert!(clocks.learnt.load().as_ref().unwrap().len() <= MOST_ORIGINS);
    }

    #[test]
    fn r8_the_token_endpoint_is_heard_until_the_api_has_told_its_time() {
        let clocks = ServerClocks::default();
        let hint = |ahead: Duration| {
            let now = Moment::now();
            clocks.hint(API, now.wall + ahead, now.instant, now);
        };
        hint(MINUTE);
        assert_eq!(offset_at(&clocks, API), 60_000);
        learn(&clocks, |now| now + 3 * MINUTE);
        hint(MINUTE);
        assert_eq!(offset_at(&clocks, API), 180_000);
    }

    #[test]
    fn r8_a_token_endpoint_alone_makes_no_large_step() {
        let clocks = ServerClocks::default();
        for _ in 0..3 {
            let now = Moment::now();
            clocks.hint(API, now.wall - HOUR, now.instant, now);
        }
        assert_eq!(offset_at(&clocks, API), 0);
        assert!(learn(&clocks, |now| now - HOUR), "the API agrees");
        assert_eq!(offset_at(&clocks, API), -3_600_000);
    }

    #[test]
    fn r8_the_middle_of_a_slow_exchange_counts() {
        let clocks = ServerClocks::default();
        let sent = Moment::now();
        for (took, expected) in [(Duration::from_secs(8), 4_000), (3 * HOUR, 5_400_000)] {
            let now = Moment { instant: sent.instant + took, wall: sent.wall + took };
            clocks.learn(API, now.wall, sent.instant, now, DATE_RESOLUTION);
            clocks.learn(API, now.wall, sent.instant, now, DATE_RESOLUTION);
            assert_eq!(offset_at(&clocks, API), expected, "the response took {took:?}");
        }
    }

    #[test]
    fn t13_the_clock_that_ran_further_counts() {
        let start = Moment::now();
        let later = |tokio, wall| Moment { instant: start.instant + tokio, wall: start.wall + wall };
        assert_eq!(later(HOUR, Duration::ZERO).since(start), HOUR, "a paused test");
        assert_eq!(later(Duration::ZERO, HOUR).since(start), HOUR, "a suspended machine");
        let set_back = Moment { instant: start.instant + MINUTE, wall: start.wall - HOUR };
        assert_eq!(set_back.since(start), MINUTE);
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

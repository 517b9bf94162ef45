//! The only file that reads a clock or makes a timer, and the offset to the server's clock that was learnt.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{runtime::Handle, time::Sleep};

/// Which clock a layer reads for the life of a token and for the timestamp of a signature.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The cheapest monotonic and wall clocks of the system.
    ///
    /// On Linux they are `CLOCK_MONOTONIC_COARSE` and `CLOCK_REALTIME_COARSE`, some milliseconds wide and never ahead;
    /// elsewhere those of the standard library. The monotonic clock stands still while the machine is suspended, so a
    /// token that ended meanwhile is found out by the API's 401, and replaced.
    #[default]
    Coarse,
    /// Tokio's clock, which a test can pause and advance; wall time moves along with it.
    Tokio,
}

/// A point on a layer's monotonic clock, in nanoseconds from an origin that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    #[inline]
    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment and some time more; the end of time where that is too far.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(wait)))
    }

    /// From this moment to a later one; zero if it is not later.
    pub(crate) fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

/// A moment not longer ago than some hours, in a quarter of the space, to about an eighth of a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortMoment(u16);

impl ShortMoment {
    /// The moment that it stands for, seen from a later one.
    pub(crate) fn before(self, now: Moment) -> Moment {
        let ago = Self::from(now).0.wrapping_sub(self.0);
        Moment(now.0.saturating_sub(u64::from(ago) << SHORT_UNIT_BITS))
    }
}

impl From<Moment> for ShortMoment {
    #[expect(clippy::cast_possible_truncation, reason = "only the distance to a moment soon after counts")]
    fn from(moment: Moment) -> Self {
        Self((moment.0 >> SHORT_UNIT_BITS) as u16)
    }
}

/// The clock of one layer.
#[derive(Debug)]
pub(crate) struct Timepiece {
    source: Source,
    /// The server's clock minus ours, in milliseconds.
    offset: AtomicI64,
    /// Whether it is the API's, who judges signatures.
    by_api: AtomicBool,
}

#[derive(Debug)]
enum Source {
    Coarse(coarse::Clocks),
    Tokio { start: tokio::time::Instant, wall: SystemTime },
}

impl Timepiece {
    pub(crate) fn new(clock: Clock) -> Self {
        let source = match clock {
            Clock::Coarse => Source::Coarse(coarse::Clocks::new()),
            Clock::Tokio => Source::Tokio { start: precise_now(), wall: system_now() },
        };
        Self { source, offset: AtomicI64::new(0), by_api: AtomicBool::new(false) }
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match &self.source {
            Source::Coarse(clocks) => Moment(clocks.monotonic()),
            Source::Tokio { start, .. } => Moment(saturating_nanos(precise_now().saturating_duration_since(*start))),
        }
    }

    /// How far behind the true time it may be.
    pub(crate) fn lag(&self) -> Duration {
        match &self.source {
            Source::Coarse(_) => COARSE_TICK,
            Source::Tokio { .. } => Duration::ZERO,
        }
    }

    /// The server's time, as far as it was learnt.
    pub(crate) fn server_now(&self) -> SystemTime {
        let (offset, now) = (self.offset.load(Ordering::Relaxed), self.wall());
        let shift = Duration::from_millis(offset.unsigned_abs());
        let shifted = match offset {
            0 => return now,
            ..0 => now.checked_sub(shift),
            1.. => now.checked_add(shift),
        };
        shifted.unwrap_or(now)
    }

    /// Takes the token endpoint's clock for the API's, until that has told its own: the two may differ.
    pub(crate) fn guess(&self, date: SystemTime, sent: Moment) {
        if !self.by_api.load(Ordering::Relaxed) {
            self.note(date, sent);
        }
    }

    /// Learns the API's clock from the `Date` of an answer, which names the moment between `sent` and now.
    pub(crate) fn learn(&self, date: SystemTime, sent: Moment) {
        self.by_api.store(true, Ordering::Relaxed);
        self.note(date, sent);
    }

    /// An offset under 2 s may be the resolution of `Date` and the way of the answer, and counts as none.
    fn note(&self, date: SystemTime, sent: Moment) {
        let half_way = sent.until(self.now()) / 2;
        let midpoint = unix_millis(self.wall()).saturating_sub(millis(half_way));
        let offset = unix_millis(date).saturating_sub(midpoint);
        let offset =
            if offset.unsigned_abs() < SMALLEST_OFFSET { 0 } else { offset.clamp(-LARGEST_OFFSET, LARGEST_OFFSET) };
        self.offset.store(offset, Ordering::Relaxed);
    }

    fn wall(&self) -> SystemTime {
        match &self.source {
            Source::Coarse(clocks) => clocks.wall(),
            Source::Tokio { start, wall } => {
                let passed = precise_now().saturating_duration_since(*start);
                wall.checked_add(passed).unwrap_or(*wall)
            }
        }
    }
}

/// Measures one exchange whose layer, and so its clock, is not known.
#[derive(Debug)]
pub(crate) struct Stopwatch(tokio::time::Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(precise_now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        precise_now().saturating_duration_since(self.0)
    }
}

/// The wall clock of the system.
#[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
pub(crate) fn system_now() -> SystemTime {
    SystemTime::now()
}

/// A timer; none outside of a runtime, where none can run.
#[expect(clippy::disallowed_methods, reason = "this file is where timers are made")]
pub(crate) fn sleep(wait: Duration) -> Option<Sleep> {
    Handle::try_current().ok().map(|_| tokio::time::sleep(wait))
}

/// What the future gives, unless it takes longer than the limit.
#[expect(clippy::disallowed_methods, reason = "this file is where timers are made")]
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

#[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
fn precise_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

/// Of the slowest kernels that are in use (100 Hz).
const COARSE_TICK: Duration = Duration::from_millis(10);
/// A unit of 2^27 ns, 134 ms, of which 2^16 are more than two hours: the end of a `Date`'s second is not known better.
const SHORT_UNIT_BITS: u32 = 27;
/// In milliseconds.
const SMALLEST_OFFSET: u64 = 2_000;
/// A day: a `Date` further off says more about the server than about our clock.
const LARGEST_OFFSET: i64 = 24 * 60 * 60 * 1_000;

#[cfg(target_os = "linux")]
mod coarse {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use rustix::time::{ClockId, Timespec, clock_gettime};

    #[derive(Debug)]
    pub(super) struct Clocks;

    #[expect(clippy::unused_self, reason = "other systems need a start to count from")]
    impl Clocks {
        pub(super) fn new() -> Self {
            Self
        }

        #[inline]
        pub(super) fn monotonic(&self) -> u64 {
            let time = clock_gettime(ClockId::MonotonicCoarse);
            let [seconds, nanos] =
                [u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec)].map(Result::unwrap_or_default);
            seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
        }

        pub(super) fn wall(&self) -> SystemTime {
            UNIX_EPOCH + duration(clock_gettime(ClockId::RealtimeCoarse))
        }
    }

    fn duration(time: Timespec) -> Duration {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Duration::new(seconds, nanos)
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    use std::time::{Instant, SystemTime};

    #[derive(Debug)]
    pub(super) struct Clocks {
        start: Instant,
    }

    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    impl Clocks {
        pub(super) fn new() -> Self {
            Self { start: Instant::now() }
        }

        pub(super) fn monotonic(&self) -> u64 {
            super::saturating_nanos(self.start.elapsed())
        }

        pub(super) fn wall(&self) -> SystemTime {
            super::system_now()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(date: impl Fn(SystemTime) -> SystemTime) -> i64 {
        let clock = Timepiece::new(Clock::Coarse);
        clock.learn(date(clock.wall()), clock.now());
        clock.offset.load(Ordering::Relaxed)
    }

    #[test]
    fn r8_an_offset_is_learnt_both_ways() {
        let minutes = Duration::from_secs(300);
        assert!((299_900..=300_100).contains(&learnt(|now| now + minutes)));
        assert!((-300_100..=-299_900).contains(&learnt(|now| now - minutes)));
    }

    #[test]
    fn r8_an_offset_under_two_seconds_is_none() {
        assert_eq!(learnt(|now| now + Duration::from_millis(1_900)), 0);
        assert_eq!(learnt(|now| now - Duration::from_millis(1_900)), 0);
    }

    #[test]
    fn r8_an_offset_is_capped_at_a_day() {
        let year = Duration::from_secs(365 * 86_400);
        assert_eq!(learnt(|now| now + year), LARGEST_OFFSET);
        assert_eq!(learnt(|now| now - year), -LARGEST_OFFSET);
        assert_eq!(learnt(|_| UNIX_EPOCH - year), -LARGEST_OFFSET);
    }

    #[tokio::test(start_paused = true)]
    async fn r8_the_middle_of_a_slow_exchange_is_what_counts() {
        let clock = Timepiece::new(Clock::Tokio);
        let sent = clock.now();
        tokio::time::advance(Duration::from_secs(8)).await;
        clock.learn(clock.wall(), sent);
        assert_eq!(clock.offset.load(Ordering::Relaxed), 4_000, "the answer took 8 s, so its Date is 4 s ahead");
    }

    #[test]
    fn a_short_moment_finds_back_across_its_own_end() {
        for sent in [0, 5 << 27, u64::from(u16::MAX) << 27, (u64::from(u16::MAX) << 27) + 77] {
            let now = Moment(sent + 30_000_000_000);
            let found = ShortMoment::from(Moment(sent)).before(now);
            assert!(found.until(Moment(sent)) + Moment(sent).until(found) < Duration::from_millis(135), "{sent}");
        }
    }

    #[test]
    fn t7_no_duration_overflows_a_moment() {
        assert_eq!(Moment(7).after(Duration::MAX), Moment(u64::MAX));
        assert_eq!(Moment(7).until(Moment(3)), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn t13_wall_time_follows_paused_time() {
        let clock = Timepiece::new(Clock::Tokio);
        let (now, wall) = (clock.now(), clock.server_now());
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(now.until(clock.now()), Duration::from_secs(90));
        assert_eq!(clock.server_now().duration_since(wall).unwrap(), Duration::from_secs(90));
    }
}

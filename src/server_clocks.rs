//! How far the servers' clocks are from ours, as far as their responses have told (guarantee R8).

use std::{
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI32, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;

use crate::time::{Instant, Moment};

/// Names an origin among the learnt clocks; made by `origin.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OriginKey(pub(crate) NonZero<u32>);

/// How far each server's clock is from the wall clock of this machine (guarantee R8).
#[derive(Debug, Default)]
pub(crate) struct ServerClocks {
    /// Whether there is anything to look up: for most layers there never is.
    has_learnt: AtomicBool,
    /// Replaced as a whole, under the lock.
    learnt: ArcSwapOption<Vec<Learnt>>,
    change: Mutex<()>,
    /// Of the token endpoint, by its last token response, in milliseconds.
    token_endpoint: AtomicI32,
}

#[derive(Clone, Debug)]
struct Learnt {
    origin: OriginKey,
    offset: Offset,
    /// Whether the API itself told it, and not the token endpoint beside it.
    by_api: bool,
    /// A large step that waits for a second opinion.
    candidate: Option<Offset>,
}

/// A server's clock minus ours, in milliseconds; at most a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offset(i32);

impl Offset {
    /// Of a server whose response, to a request of `sent`, has this `Date`; `None` if the difference cannot be meant.
    fn new(date: SystemTime, sent: Instant, now: Moment) -> Option<Self> {
        let half_way = now.instant.saturating_duration_since(sent) / 2;
        let midpoint = unix_millis(now.wall).saturating_sub(millis(half_way));
        let offset = i32::try_from(unix_millis(date).saturating_sub(midpoint)).ok()?;
        match offset.unsigned_abs() {
            ..SMALLEST_OFFSET => Some(Self(0)),
            SMALLEST_OFFSET..=LARGEST_OFFSET => Some(Self(offset)),
            _ => None,
        }
    }

    /// The server's time when the wall clock here says this.
    #[inline]
    pub(crate) fn apply(self, wall: SystemTime) -> SystemTime {
        if self.0 == 0 { wall } else { self.shift(wall) }
    }

    #[cold]
    fn shift(self, wall: SystemTime) -> SystemTime {
        let shift = Duration::from_millis(self.0.unsigned_abs().into());
        let shifted = if self.0 < 0 { wall.checked_sub(shift) } else { wall.checked_add(shift) };
        shifted.unwrap_or(wall)
    }

    /// Whether the two are at least this far apart.
    pub(crate) fn differs_by(self, other: Self, least: Duration) -> bool {
        Duration::from_millis(self.0.abs_diff(other.0).into()) >= least
    }
}

/// The clock that a signature was made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedBy {
    pub(crate) origin: OriginKey,
    pub(crate) offset: Offset,
}

impl ServerClocks {
    /// How far the clock of this origin is from ours.
    #[inline]
    pub(crate) fn offset_of(&self, origin: Option<OriginKey>) -> Offset {
        if self.has_learnt.load(Relaxed) { self.look_up(origin) } else { Offset::default() }
    }

    #[cold]
    fn look_up(&self, origin: Option<OriginKey>) -> Offset {
        let learnt = self.learnt.load();
        let known = learnt.iter().flat_map(|learnt| learnt.iter()).find(|known| Some(known.origin) == origin);
        known.map_or(Offset::default(), |known| known.offset)
    }

    /// The time by the clock of the token endpoint.
    pub(crate) fn now_at_token_endpoint(&self, wall: SystemTime) -> SystemTime {
        Offset(self.token_endpoint.load(Relaxed)).apply(wall)
    }

    /// Learns from the `Date` of an API's response.
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
    ) {
        let Some(offset) = Offset::new(date, sent, now) else {
            return;
        };
        self.change(origin, |known| {
            known.by_api = true;
            let is_confirmed = known.candidate.take().is_some_and(|first| !first.differs_by(offset, AGREEMENT));
            if known.offset.differs_by(offset, LARGE_STEP) && !is_confirmed {
                known.candidate = Some(offset);
            } else if known.offset.differs_by(offset, smallest_step) {
                known.offset = offset;
            }
        });
    }

    /// Takes the `Date` of a token response as a hint: for its own origin, and until the API has told its own time.
    pub(crate) fn hint(&self, token_endpoint: OriginKey, date: SystemTime, sent: Instant, now: Moment) {
        let Some(offset) = Offset::new(date, sent, now) else {
            return;
        };
        self.token_endpoint.store(offset.0, Relaxed);
        if offset == Offset::default() && !self.has_learnt.load(Relaxed) {
            return;
        }
        self.change(token_endpoint, |known| {
            if known.by_api {
            } else if known.offset.differs_by(offset, LARGE_STEP) {
                known.candidate = Some(offset);
            } else {
                known.offset = offset;
            }
        });
    }

    fn change(&self, origin: OriginKey, change: impl FnOnce(&mut Learnt)) {
        let _guard = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut learnt = self.learnt.load().as_deref().cloned().unwrap_or_default();
        let position = learnt.iter().position(|known| known.origin == origin);
        let mut known = match position {
            Some(position) => learnt.remove(position),
            None => Learnt { origin, offset: Offset::default(), by_api: false, candidate: None },
        };
        change(&mut known);
        // The one that changed last stands last, so the first is the one to forget.
        if learnt.len() >= MOST_ORIGINS {
            learnt.remove(0);
        }
        learnt.push(known);
        self.learnt.store(Some(Arc::new(learnt)));
        self.has_learnt.store(true, Relaxed);
    }
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

/// In milliseconds: what is less may be the resolution of `Date`, of a second, and the way of the response.
const SMALLEST_OFFSET: u32 = 2_000;
/// In milliseconds, a day: a `Date` further off says more about the server than about our clock.
const LARGEST_OFFSET: u32 = 86_400_000;
/// More than five minutes count only when a second response agrees, so that one wrong `Date` costs one request.
const LARGE_STEP: Duration = Duration::from_millis(300_001);
/// Two responses that are no further apart agree.
const AGREEMENT: Duration = Duration::from_millis(30_001);
/// A smaller difference between two readings of `Date` says nothing.
pub(crate) const DATE_RESOLUTION: Duration = Duration::from_secs(1);
/// For `any_origin`, which any number of servers may answer.
const MOST_ORIGINS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const API: OriginKey = origin(1);

    const fn origin(number: u32) -> OriginKey {
        match NonZero::new(number) {
            Some(number) => OriginKey(number),
            None => OriginKey(NonZero::<u32>::MAX),
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn offset_at(clocks: &ServerClocks, origin: OriginKey) -> i64 {
        clocks.offset_of(Some(origin)).0.into()
    }

    /// What a response at once teaches, whose `Date` is this far from the wall clock.
    fn learn(clocks: &ServerClocks, date: impl Fn(SystemTime) -> SystemTime) -> bool {
        let (now, before) = (Moment::now(), clocks.offset_of(Some(API)));
        clocks.learn(API, date(now.wall), now.instant, now, DATE_RESOLUTION);
        clocks.offset_of(Some(API)) != before
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
        for (took, expected) in [(Duration::from_secs(8), 4_000), (3 * HOUR, 5_400_000), (47 * HOUR, 84_600_000)] {
            let now = Moment { instant: sent.instant + took, wall: sent.wall + took };
            clocks.learn(API, now.wall, sent.instant, now, DATE_RESOLUTION);
            clocks.learn(API, now.wall, sent.instant, now, DATE_RESOLUTION);
            assert_eq!(offset_at(&clocks, API), expected, "the response took {took:?}");
        }
    }
}

//! A second opinion on the clock that is learnt from `Date`: R8, written plainly. In seconds.

use crate::http_date::Meaning;

/// What is known of one origin's clock.
pub(crate) struct ClockOpinion {
    now: i64,
    /// `None` once something was heard whose meaning is not known here.
    known: Option<Known>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    offset: i64,
    candidate: Option<i64>,
}

impl ClockOpinion {
    pub(crate) fn new(now: i64) -> Self {
        Self { now, known: Some(Known::default()) }
    }

    /// How far the next signature's time is from `now`, if that is known.
    pub(crate) fn offset(&self) -> Option<i64> {
        self.known.map(|known| known.offset)
    }

    /// The token endpoint, of the same origin, responds before the API does.
    pub(crate) fn hear_token_endpoint(&mut self, date: Meaning) {
        let Some((mut known, offset)) = self.hear(date) else {
            return;
        };
        if offset.abs_diff(known.offset) > LARGE_STEP {
            known.candidate = Some(offset);
        } else {
            known.offset = offset;
        }
        self.known = Some(known);
    }

    /// The API rejects a timestamp. Returns whether the request is signed anew and replayed.
    pub(crate) fn hear_api(&mut self, date: Meaning) -> bool {
        let Some((mut known, offset)) = self.hear(date) else {
            return false;
        };
        let step = offset.abs_diff(known.offset);
        let is_confirmed = known.candidate.is_some_and(|candidate| candidate.abs_diff(offset) <= AGREEMENT);
        if step > LARGE_STEP && !is_confirmed {
            known.candidate = Some(offset);
        } else {
            known = Known { offset, candidate: None };
        }
        self.known = Some(known);
        known.offset == offset && step > 0
    }

    /// The offset that a `Date` means, if it means one.
    fn hear(&mut self, date: Meaning) -> Option<(Known, i64)> {
        let known = self.known?;
        let offset = match date {
            Meaning::Unix(unix) => unix - self.now,
            Meaning::Absent => return None,
            Meaning::Seconds(_) | Meaning::Unknown => {
                self.known = None;
                return None;
            }
        };
        // `now` is a whole second, and the clock is up to a second further.
        match offset {
            -1..=1 => Some((known, 0)),
            -86_399..=-2 | 3..=86_400 => Some((known, offset)),
            2 | -86_400 => {
                self.known = None;
                None
            }
            _ => None,
        }
    }
}

const LARGE_STEP: u64 = 300;
const AGREEMENT: u64 = 30;

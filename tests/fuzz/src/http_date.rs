//! HTTP dates (RFC 9110, section 5.6.7) whose meaning is known.

use crate::input::Input;

/// What a header means, if that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    Absent,
    Seconds(u64),
    Unix(i64),
    Unknown,
}

/// Returns a date in one of the three formats, and its unix seconds.
pub(crate) fn write(input: &mut Input<'_>, now: i64) -> (String, i64) {
    let unix = match input.below(8) {
        0..3 => now + input.pick(&[0, 1, -1, 3, -3, 60, -60, 3_600, -3_600, 86_390, -86_390]),
        3 => now + input.pick(&[86_400, -86_400, 86_410, -86_410, 31_536_000, -31_536_000]),
        4 => input.pick(&[0, 1, 951_782_400, 1_709_164_800, 253_402_300_799, -1, -86_400]),
        _ => i64::try_from(input.below(253_402_300_800)).unwrap_or_default(),
    };
    let unix = unix.clamp(0, 253_402_300_799);
    let (days, of_day) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let clock = format!("{:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let weekday = WEEKDAYS[usize::try_from((days + 4) % 7).unwrap_or_default()];
    let name = MONTHS[month - 1];
    let text = match input.below(4) {
        // Two digits name a year within fifty of this one.
        1 if (1980..2070).contains(&year) => format!("{weekday}, {day:02}-{name}-{:02} {clock} GMT", year % 100),
        2 => format!("{} {name} {day:2} {clock} {year:04}", &weekday[..3]),
        _ => format!("{}, {day:02} {name} {year:04} {clock} GMT", &weekday[..3]),
    };
    (text, unix)
}

/// Returns year, month and day of a day since 1970, by counting.
fn civil(mut days: i64) -> (i64, usize, i64) {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970 + days / DAYS_OF_400_YEARS * 400;
    days %= DAYS_OF_400_YEARS;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 0;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month + 1, days + 1)
}

const DAYS_OF_400_YEARS: i64 = 146_097;
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

//! The times that a server names in its headers.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap,
    header::{AGE, DATE, RETRY_AFTER},
};

/// When the answer was made, unless a cache may have kept it since (RFC 9111, section 5.1).
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
    // `parse` alone would let a sign pass.
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().ok()?)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        until.duration_since(date(headers).unwrap_or(now)).ok()?
    };
    (wait <= A_DAY).then_some(wait)
}

const A_DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const NOW: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const IN_A_MINUTE: &str = "Tue, 14 Nov 2023 22:14:20 GMT";

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn asked(pairs: &[(HeaderName, &'static str)]) -> Option<Duration> {
        retry_after(&headers(pairs), SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
    }

    #[test]
    fn r8_a_date_from_a_cache_is_no_clock() {
        let unix = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(date(&headers(&[(DATE, NOW)])).map(unix), Some(1_700_000_000));
        assert_eq!(date(&headers(&[(DATE, NOW), (AGE, "0")])), None);
        assert_eq!(date(&headers(&[(DATE, "yesterday")])), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(asked(&[(RETRY_AFTER, "120")]), Some(Duration::from_secs(120)));
        assert_eq!(asked(&[(RETRY_AFTER, IN_A_MINUTE)]), Some(Duration::from_secs(60)));
        assert_eq!(asked(&[(RETRY_AFTER, IN_A_MINUTE), (DATE, IN_A_MINUTE)]), Some(Duration::ZERO));
        assert_eq!(asked(&[(RETRY_AFTER, NOW), (DATE, IN_A_MINUTE)]), None);
        assert_eq!(asked(&[(RETRY_AFTER, "86400")]), Some(A_DAY));
        for nonsense in ["-1", "soon", "1.5", "", "86401"] {
            assert_eq!(asked(&[(RETRY_AFTER, nonsense)]), None, "{nonsense}");
        }
    }
}

//! T8, R8: any `Retry-After`, `Date` and `Age` is read or ignored, and moves the time of a signature by a day at most.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{AGE, DATE, RETRY_AFTER},
};
use http_body::SizeHint;
use tower_outbound_auth::{
    AuthLayer, Credentials,
    rejection::Rejection,
    signing::{SignRules, TimestampHmac},
    token::{FetchRequest, TokenSource},
};

use crate::{
    body::{Scripted, Step},
    clock_opinion::ClockOpinion,
    drive::{Limits, drive},
    http_date::{self, Meaning},
    input::Input,
    stack::{ORIGIN, Seen, response, send},
    token_answers::grant,
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.below(2) == 0 {
        retry_after(&mut input);
    } else {
        signatures(&mut input);
    }
}

fn retry_after(input: &mut Input<'_>) {
    let before = now();
    let (mut headers, status) = (HeaderMap::new(), input.pick(&[503, 429, 500, 400, 401, 302, 100]));
    let retry_after = header(input, &mut headers, &RETRY_AFTER);
    let date = header(input, &mut headers, &DATE);
    let age = input.one_in(4);
    if age {
        headers.insert(AGE, HeaderValue::from_static("0"));
    }
    let grant = grant(TOKEN_URL, token_response(status, &headers));
    let error = drive(LIMITS, grant.fetch(FetchRequest::new())).expect_err("no token");
    let wait = error.retry_after();
    // More than a day is taken for a mistake.
    let expected = |seconds: i64| u64::try_from(seconds).ok().map(Duration::from_secs).filter(|wait| *wait <= A_DAY);
    match (retry_after, date) {
        (Meaning::Absent, _) => assert_eq!(wait, None, "{headers:?}"),
        (Meaning::Seconds(seconds), _) => {
            assert_eq!(wait, i64::try_from(seconds).ok().and_then(expected), "{headers:?}");
        }
        (Meaning::Unix(until), Meaning::Unix(date)) if !age => assert_eq!(wait, expected(until - date), "{headers:?}"),
        (Meaning::Unix(until), Meaning::Unix(_) | Meaning::Absent) => {
            let (longest, shortest) = (until - before, until - now() - 1);
            let is_between = wait.is_some_and(|wait| {
                Some(wait) <= expected(longest).or(Some(A_DAY)) && Some(wait) >= expected(shortest)
            });
            let may_be_none = expected(longest).is_none() || expected(shortest).is_none();
            assert!(is_between || wait.is_none() && may_be_none, "{headers:?}: {wait:?}, {shortest} to {longest}");
        }
        (Meaning::Unix(_) | Meaning::Unknown, _) => {}
    }
}

/// Requests that are rejected for their timestamp, one after the other.
fn signatures(input: &mut Input<'_>) {
    let before = now();
    let origin = input.pick(&[ORIGIN, "http://127.0.0.1:8080", "http://api.example.com"]);
    let is_trusted = origin != "http://api.example.com";
    let token_url = if is_trusted && input.one_in(2) { format!("{origin}/token") } else { TOKEN_URL.to_owned() };
    let mut opinion = ClockOpinion::new(before);

    let mut token_headers = HeaderMap::new();
    let token_date = clock_header(input, &mut token_headers);
    let layer = AuthLayer::builder(grant(&token_url, token_response(200, &token_headers)))
        .origin(origin)
        .allow_insecure_http()
        .sign(SignRules::all(), TimestampHmac::sha256(Credentials::new("fuzz", "secret")))
        .build()
        .expect("the settings are valid");
    if token_url != TOKEN_URL {
        opinion.hear_token_endpoint(token_date);
    }

    let shown = format!("{origin} {token_url} {token_headers:?}");
    for _ in 0..=input.below(5) {
        let mut headers = HeaderMap::new();
        let date = clock_header(input, &mut headers);
        let shown = format!("{shown} {headers:?}");
        let first = opinion.offset();
        let is_replayed = is_trusted && opinion.hear_api(date);
        let timestamps = timestamps(&layer, origin, headers);

        assert!(
            timestamps.iter().all(|time| (before - A_DAY_AND_MORE..=now() + A_DAY_AND_MORE).contains(time)),
            "{shown}"
        );
        // In the same second all along, so that each offset is on the same side of each limit.
        let (Some(first), Some(second), true) = (first, opinion.offset(), before == now()) else {
            return;
        };
        let expected = if is_replayed { vec![first, second] } else { vec![first] };
        let offsets: Vec<_> = timestamps.iter().map(|time| time - before).collect();
        assert_eq!(offsets.len(), expected.len(), "{offsets:?} instead of {expected:?}: {shown}");
        let are_close = offsets.iter().zip(&expected).all(|(offset, expected)| offset.abs_diff(*expected) <= 1);
        assert!(are_close, "{offsets:?} instead of {expected:?}: {shown}");
    }
}

/// Adds `Date`, and sometimes `Age`, with which it tells no clock.
fn clock_header(input: &mut Input<'_>, headers: &mut HeaderMap) -> Meaning {
    let date = header(input, headers, &DATE);
    if input.one_in(5) {
        let age = HeaderValue::from_bytes(input.bytes(3)).unwrap_or(HeaderValue::from_static("1"));
        headers.insert(AGE, age);
        return Meaning::Absent;
    }
    date
}

/// Sends a request whose timestamp is rejected once, with these headers. Returns the timestamps that the API received.
fn timestamps(layer: &AuthLayer, origin: &str, headers: HeaderMap) -> Vec<i64> {
    let request = Request::get(format!("{origin}/")).body(()).expect("a request");
    let seen = Seen::default();
    let rejecting = move |nth| {
        let mut response = response(StatusCode::OK);
        if nth == 0 {
            response.extensions_mut().insert(Rejection::ClockSkew);
            *response.headers_mut() = headers.clone();
        }
        response
    };
    drive(LIMITS, send(layer, request, &seen, rejecting)).expect("a response");
    let seen = seen.lock().expect("not poisoned");
    let timestamp = |request: &Request<()>| request.headers().get("x-timestamp")?.to_str().ok()?.parse().ok();
    seen.iter().map(|request| timestamp(request).expect("a timestamp")).collect()
}

/// Adds a header, and returns what it means.
fn header(input: &mut Input<'_>, headers: &mut HeaderMap, name: &HeaderName) -> Meaning {
    let (text, meaning) = match input.below(6) {
        0 => return Meaning::Absent,
        1..4 => {
            let (text, unix) = http_date::write(input, now());
            (text.into_bytes(), Meaning::Unix(unix))
        }
        4 if name == RETRY_AFTER => {
            let seconds =
                input.pick(&[0, 1, 120, 3_600, 86_400, 86_401, u64::from(u32::MAX), i64::MAX as u64, u64::MAX]);
            (seconds.to_string().into_bytes(), Meaning::Seconds(seconds))
        }
        5 if input.one_in(2) => (input.pick(&NONSENSE).as_bytes().to_vec(), Meaning::Unknown),
        4 => {
            let mut text = http_date::write(input, now()).0.into_bytes();
            let at = input.below(text.len());
            text[at] = input.pick(b"0139:-, aZ\xff");
            (text, Meaning::Unknown)
        }
        _ => (input.some_bytes().to_vec(), Meaning::Unknown),
    };
    let plain = std::str::from_utf8(&text).unwrap_or_default().trim();
    let no_date = !plain.contains(':') && !plain.chars().all(|c| c.is_ascii_digit());
    match HeaderValue::from_bytes(&text) {
        Ok(value) => headers.insert(name, value),
        Err(_) => return Meaning::Absent,
    };
    // Neither a time of day nor a number: the same as no header.
    if meaning == Meaning::Unknown && no_date { Meaning::Absent } else { meaning }
}

fn token_response(status: u16, headers: &HeaderMap) -> Response<Scripted> {
    let json = bytes::Bytes::from_static(br#"{"access_token":"a","expires_in":3600}"#);
    let (body, _) = Scripted::new([Step::Data(vec![json])], SizeHint::new());
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = headers.clone();
    response
}

#[expect(clippy::disallowed_methods, reason = "compared with what the crate makes of the wall clock")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

const NONSENSE: [&str; 8] = ["+5", "-1", "1.5", "1e3", "0x10", "soon", "5 minutes", "99999999999999999999"];
const TOKEN_URL: &str = "https://login.example.com/token";
const A_DAY: Duration = Duration::new(86_400, 0);
const A_DAY_AND_MORE: i64 = 86_400 + 2;
const LIMITS: Limits = Limits { polls: 100, bytes: 512 * 1024 };

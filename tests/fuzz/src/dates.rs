//! T8, R8: `Retry-After`, `Date` and `Age` of any bytes break nothing, and move a signature's clock by a day at most.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{AGE, DATE, RETRY_AFTER},
};
use http_body::SizeHint;
use tower_outbound_auth::{AuthLayer, Credentials, FetchRequest, Rejection, TimestampHmac, TokenSource};

use crate::{
    body::{Scripted, Step},
    drive::{Limits, drive},
    input::Input,
    stack::{ORIGIN, Seen, answer, send},
    token_answers::source,
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.below(2) == 0 {
        asked_to_wait(&mut input);
    } else {
        signed_by_a_learnt_clock(&mut input);
    }
}

/// What a header says, where that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    Absent,
    Seconds(u64),
    Unix(i64),
    /// Bytes that may mean something, or nothing.
    Anybodys,
}

fn asked_to_wait(input: &mut Input<'_>) {
    let before = now();
    let (mut headers, status) = (HeaderMap::new(), input.pick(&[503, 429, 500, 400, 401, 302, 100]));
    let retry_after = header(input, &mut headers, &RETRY_AFTER);
    let date = header(input, &mut headers, &DATE);
    let age = input.one_in(4);
    if age {
        headers.insert(AGE, HeaderValue::from_static("0"));
    }
    let error = drive(LIMITS, source(token_answer(status, &headers)).fetch(FetchRequest::new())).expect_err("no token");
    let waits = error.retry_after();
    let since = |unix: i64, base: i64| u64::try_from(unix - base).ok().map(Duration::from_secs);
    match (retry_after, date) {
        (Meaning::Absent, _) => assert_eq!(waits, None, "{headers:?}"),
        (Meaning::Seconds(seconds), _) => assert_eq!(waits, Some(Duration::from_secs(seconds)), "{headers:?}"),
        (Meaning::Unix(until), Meaning::Unix(date)) if !age => assert_eq!(waits, since(until, date), "{headers:?}"),
        (Meaning::Unix(until), Meaning::Unix(_) | Meaning::Absent) => {
            let (longest, shortest) = (since(until, before), since(until, now() + 1));
            assert!(shortest <= waits && waits <= longest, "{headers:?}: {shortest:?} {waits:?} {longest:?}");
        }
        (Meaning::Unix(_) | Meaning::Anybodys, _) => {}
    }
}

fn signed_by_a_learnt_clock(input: &mut Input<'_>) {
    let (mut of_token, mut of_api) = (HeaderMap::new(), HeaderMap::new());
    let before = now();
    let from_token = answers_clock(input, &mut of_token);
    let from_api = answers_clock(input, &mut of_api);
    let shown = format!("{of_token:?} {of_api:?}");
    let origin = input.pick(&[ORIGIN, "http://127.0.0.1:8080", "http://api.example.com"]);
    let stamps = timestamps(origin, &of_token, of_api);
    let after = now();

    assert_eq!(stamps.len(), 2, "the request was sent again");
    let trusted = origin != "http://api.example.com";
    let mut learnt = Some(0);
    for (stamp, meaning) in stamps.into_iter().zip([from_token, if trusted { from_api } else { Meaning::Absent }]) {
        assert!((before - A_DAY - 1..=after + A_DAY + 1).contains(&stamp), "{stamp} is no time of these days: {shown}");
        learnt = match meaning {
            Meaning::Absent => learnt,
            Meaning::Unix(unix) => Some((unix - before).clamp(-A_DAY, A_DAY)),
            Meaning::Seconds(_) | Meaning::Anybodys => None,
        };
        if let Some(offset) = learnt {
            let (earliest, latest) = (before + offset - 3, after + offset + 3);
            assert!((earliest..=latest).contains(&stamp), "{stamp} is not within {earliest}..={latest}: {shown}");
        }
    }
}

/// `Date`, and sometimes `Age`, which makes it no clock.
fn answers_clock(input: &mut Input<'_>, headers: &mut HeaderMap) -> Meaning {
    let date = header(input, headers, &DATE);
    if input.one_in(5) {
        let age = HeaderValue::from_bytes(input.bytes(3)).unwrap_or(HeaderValue::from_static("1"));
        headers.insert(AGE, age);
        return Meaning::Absent;
    }
    date
}

/// The timestamps of a request that was told once that its own is wrong.
fn timestamps(origin: &str, of_token: &HeaderMap, of_api: HeaderMap) -> Vec<i64> {
    let layer = AuthLayer::builder(source(token_answer(200, of_token)))
        .origin(origin)
        .allow_insecure_http()
        .sign(tower_outbound_auth::SignRules::all(), TimestampHmac::sha256(Credentials::new("fuzz", "secret")))
        .build()
        .expect("the settings are good");
    let request = Request::get(format!("{origin}/")).body(()).expect("a request");
    let seen: Seen = Arc::new(Mutex::default());
    let skewed = move |nth| {
        let mut response = answer(StatusCode::OK);
        if nth == 0 {
            response.extensions_mut().insert(Rejection::ClockSkew);
            *response.headers_mut() = of_api.clone();
        }
        response
    };
    drive(LIMITS, send(&layer, request, &seen, skewed)).expect("an answer");
    let seen = seen.lock().expect("nobody panics with it");
    let stamp = |request: &Request<()>| request.headers().get("x-timestamp")?.to_str().ok()?.parse().ok();
    seen.iter().map(|request| stamp(request).expect("a timestamp")).collect()
}

/// Adds a header, and says what it means.
fn header(input: &mut Input<'_>, headers: &mut HeaderMap, name: &HeaderName) -> Meaning {
    let (text, meaning) = match input.below(6) {
        0 => return Meaning::Absent,
        1..4 => {
            let (text, unix) = crate::http_date::write(input, now());
            (text.into_bytes(), Meaning::Unix(unix))
        }
        4 if name == RETRY_AFTER => {
            let seconds = input.pick(&[0, 1, 120, 3_600, 86_400, u64::from(u32::MAX), i64::MAX as u64, u64::MAX]);
            (seconds.to_string().into_bytes(), Meaning::Seconds(seconds))
        }
        5 if input.one_in(2) => (input.pick(&NONSENSE).as_bytes().to_vec(), Meaning::Anybodys),
        4 => {
            let mut text = crate::http_date::write(input, now()).0.into_bytes();
            let at = input.below(text.len());
            text[at] = input.pick(b"0139:-, aZ\xff");
            (text, Meaning::Anybodys)
        }
        _ => (input.some_bytes().to_vec(), Meaning::Anybodys),
    };
    let plain = std::str::from_utf8(&text).unwrap_or_default().trim();
    let no_date = !plain.contains(':') && !plain.chars().all(|c| c.is_ascii_digit());
    match HeaderValue::from_bytes(&text) {
        Ok(value) => headers.insert(name, value),
        Err(_) => return Meaning::Absent,
    };
    // Neither a time of day nor a number: the same as nothing.
    if meaning == Meaning::Anybodys && no_date { Meaning::Absent } else { meaning }
}

fn token_answer(status: u16, headers: &HeaderMap) -> Response<Scripted> {
    let json = bytes::Bytes::from_static(br#"{"access_token":"a","expires_in":3600}"#);
    let (body, _) = Scripted::new([Step::Data(vec![json])], SizeHint::new());
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = headers.clone();
    response
}

#[expect(clippy::disallowed_methods, reason = "what the crate made of the system's clock is compared with it")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

const NONSENSE: [&str; 8] = ["+5", "-1", "1.5", "1e3", "0x10", "soon", "5 minutes", "99999999999999999999"];
const A_DAY: i64 = 86_400;
const LIMITS: Limits = Limits { polls: 100, bytes: 512 * 1024 };

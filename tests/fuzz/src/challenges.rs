//! R1: a 401 rejects the token, unless a `Bearer` challenge names another error than `invalid_token`.

use http::{HeaderValue, Request, StatusCode, header::WWW_AUTHENTICATE};
use tower_outbound_auth::{AuthLayer, NotReplayed};

use crate::{
    drive::{Limits, drive},
    input::Input,
    stack::{ORIGIN, Seen, Tokens, answer, send},
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let status = input.pick(&[401, 401, 401, 401, 401, 401, 403, 400, 200, 500]);
    if input.below(3) == 0 {
        wild(&mut input, status);
    } else {
        well_formed(&mut input, status);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Rejected,
    NotEnoughScope,
    Nothing,
}

/// Headers of any bytes: what the layer makes of them has to be in them.
fn wild(input: &mut Input<'_>, status: u16) {
    let mut headers = Vec::new();
    while !input.is_empty() && headers.len() < 8 {
        headers.extend(HeaderValue::from_bytes(input.some_bytes()));
    }
    let text =
        headers.iter().map(|header| String::from_utf8_lossy(header.as_bytes()).to_lowercase()).collect::<String>();
    let unescaped = text.replace('\\', "");
    match outcome(status, &headers) {
        Outcome::Rejected => assert_eq!(status, 401),
        Outcome::NotEnoughScope => {
            assert!(text.contains("bearer") && unescaped.contains("insufficient_scope"), "{headers:?}");
        }
        Outcome::Nothing if status == 401 => {
            assert!(text.contains("bearer") && text.contains("error"), "{headers:?}");
        }
        Outcome::Nothing => {}
    }
}

/// Headers made of challenges, whose meaning is known from the making.
fn well_formed(input: &mut Input<'_>, status: u16) {
    let mut errors = Vec::new();
    let headers: Vec<_> = (0..input.below(4)).map(|_| header(input, &mut errors)).collect();
    let named = |name: &str| errors.iter().any(|error| error == name);
    let expected = match status {
        401 if errors.is_empty() || named("invalid_token") => Outcome::Rejected,
        403 if named("invalid_token") => Outcome::Nothing,
        401 | 403 if named("insufficient_scope") => Outcome::NotEnoughScope,
        _ => Outcome::Nothing,
    };
    assert_eq!(outcome(status, &headers), expected, "{status} {headers:?}");
}

/// What the layer does with such an answer.
fn outcome(status: u16, headers: &[HeaderValue]) -> Outcome {
    let tokens = Tokens::default();
    let layer = AuthLayer::builder(tokens.clone()).origin(ORIGIN).build().expect("the settings are good");
    let (seen, headers) = (Seen::default(), headers.to_vec());
    let request = Request::get(format!("{ORIGIN}/")).body(()).expect("a request");
    let rejecting = move |nth| {
        let mut response =
            answer(if nth == 0 { StatusCode::from_u16(status).expect("a status") } else { StatusCode::OK });
        response.headers_mut().extend(headers.iter().map(|header| (WWW_AUTHENTICATE, header.clone())));
        response
    };
    let response = drive(LIMITS, send(&layer, request, &seen, rejecting)).expect("an answer");
    let sent = seen.lock().expect("nobody panics with it").len();
    assert_eq!(tokens.fetched(), sent, "one token for each time that it was sent");
    match response.extensions().get::<NotReplayed>() {
        Some(NotReplayed::InsufficientScope) => Outcome::NotEnoughScope,
        Some(other) => panic!("nothing can be {other:?} here"),
        None if sent == 2 => Outcome::Rejected,
        None => Outcome::Nothing,
    }
}

/// One header of some challenges. The `error` of those that are `Bearer` goes to `errors`.
///
/// No `token68`: a header with one counts as one that nobody can read.
fn header(input: &mut Input<'_>, errors: &mut Vec<String>) -> HeaderValue {
    let mut text = String::from(input.pick(&["", "", ", "]));
    for _ in 0..=input.below(3) {
        if text.ends_with(['"', 'x']) || text.ends_with(|c: char| c.is_ascii_alphanumeric()) {
            text += input.pick(&SEPARATORS);
        }
        challenge(input, &mut text, errors);
    }
    HeaderValue::try_from(text).expect("no control characters")
}

fn challenge(input: &mut Input<'_>, text: &mut String, errors: &mut Vec<String>) {
    let scheme = input.pick(&["Bearer", "bearer", "BEARER", "Basic", "Digest", "DPoP", "Bearers", "X-Bearer"]);
    *text += scheme;
    let mut names = vec!["realm", "error", "Error", "error_description", "scope", "xerror"];
    for nth in 0..input.below(4) {
        let name = names.remove(input.below(names.len()));
        *text += if nth == 0 { " " } else { input.pick(&SEPARATORS) };
        let value = input.pick(&VALUES);
        *text += name;
        *text += input.pick(&["=", "=", "=", " = "]);
        *text += &written(input, value);
        if scheme.eq_ignore_ascii_case("bearer") && name.eq_ignore_ascii_case("error") {
            errors.push(value.to_owned());
        }
    }
}

/// As a token where it can be one, else as a quoted string, with or without needless escapes.
fn written(input: &mut Input<'_>, value: &str) -> String {
    let is_token = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_token && input.one_in(3) {
        return value.to_owned();
    }
    let needless = input.one_in(6);
    let escaped = value.chars().flat_map(|c| (needless || "\\\"".contains(c)).then_some('\\').into_iter().chain([c]));
    format!("\"{}\"", escaped.collect::<String>())
}

const SEPARATORS: [&str; 5] = [", ", ",", " , ", ",,", ",\t, "];
const VALUES: [&str; 10] = [
    "invalid_token",
    "insufficient_scope",
    "invalid_request",
    "",
    "api",
    "a b",
    "Bearer error=\"insufficient_scope\"",
    "x\\\", Bearer error=insufficient_scope, y=\"",
    "INVALID_TOKEN",
    "café",
];
const LIMITS: Limits = Limits { polls: 100, bytes: 256 * 1024 };

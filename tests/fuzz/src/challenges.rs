//! R1: which responses reject the token, by status and `Bearer` challenges.

use http::{HeaderValue, Request, StatusCode, header::WWW_AUTHENTICATE};
use tower_outbound_auth::{AuthLayer, rejection::NotReplayed};

use crate::{
    drive::{Limits, drive},
    input::Input,
    stack::{ORIGIN, Seen, Tokens, response, send},
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let status = input.pick(&[401, 401, 401, 401, 404, 429, 403, 400, 200, 500]);
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

/// Headers of any bytes: the codes that explain the outcome must be in them.
fn wild(input: &mut Input<'_>, status: u16) {
    let mut headers = Vec::new();
    while !input.is_empty() && headers.len() < 8 {
        headers.extend(HeaderValue::from_bytes(input.some_bytes()));
    }
    let text =
        headers.iter().map(|header| String::from_utf8_lossy(header.as_bytes()).to_lowercase()).collect::<String>();
    let names = |code: &str| {
        let error = text.contains("bearer") && text.contains("error") && text.replace('\\', "").contains(code);
        error && (400..500).contains(&status)
    };
    match outcome(status, &headers) {
        Outcome::Rejected if status == 401 => {}
        Outcome::Rejected => assert!(names("invalid_token"), "{headers:?}"),
        Outcome::NotEnoughScope => assert!(names("insufficient_scope"), "{headers:?}"),
        Outcome::Nothing if status == 401 => assert!(names("invalid_request"), "{headers:?}"),
        Outcome::Nothing => {}
    }
}

/// Headers built from challenges, whose meaning is therefore known.
fn well_formed(input: &mut Input<'_>, status: u16) {
    let mut errors = Vec::new();
    let headers: Vec<_> = (0..input.below(4)).map(|_| header(input, &mut errors)).collect();
    let codes: Vec<_> = errors.iter().map(|error| error.to_ascii_lowercase()).collect();
    let names = |code| codes.iter().any(|named| named == code);
    let are_about_the_request =
        !codes.is_empty() && codes.iter().all(|code| ["insufficient_scope", "invalid_request"].contains(&&**code));
    let expected = match status {
        400..500 if names("invalid_token") => Outcome::Rejected,
        400..500 if are_about_the_request && names("insufficient_scope") => Outcome::NotEnoughScope,
        401 if !are_about_the_request => Outcome::Rejected,
        _ => Outcome::Nothing,
    };
    assert_eq!(outcome(status, &headers), expected, "{status} {headers:?}");
}

/// What the layer does with such a response.
fn outcome(status: u16, headers: &[HeaderValue]) -> Outcome {
    let tokens = Tokens::default();
    let layer = AuthLayer::builder(tokens.clone()).origin(ORIGIN).build().expect("the settings are valid");
    let (seen, headers) = (Seen::default(), headers.to_vec());
    let request = Request::get(format!("{ORIGIN}/")).body(()).expect("a request");
    let rejecting = move |nth| {
        let status = if nth == 0 { StatusCode::from_u16(status).expect("a status") } else { StatusCode::OK };
        let mut response = response(status);
        response.headers_mut().extend(headers.iter().map(|header| (WWW_AUTHENTICATE, header.clone())));
        response
    };
    let response = drive(LIMITS, send(&layer, request, &seen, rejecting)).expect("a response");
    let sent = seen.lock().expect("not poisoned").len();
    assert_eq!(tokens.fetched(), sent, "one token for each time that the request was sent");
    match response.extensions().get::<NotReplayed>() {
        Some(NotReplayed::InsufficientScope) => Outcome::NotEnoughScope,
        Some(other) => panic!("{other:?} is not possible here"),
        None if sent == 2 => Outcome::Rejected,
        None => Outcome::Nothing,
    }
}

/// Returns a header of some challenges. Adds the `error` of each `Bearer` challenge to `errors`.
///
/// Without `token68`, since the layer cannot read a header with one.
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

/// Returns the value as a token if it can be one, or as a quoted string, with or without unnecessary escapes.
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
const VALUES: [&str; 11] = [
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
    "Insufficient_Scope",
];
const LIMITS: Limits = Limits { polls: 100, bytes: 256 * 1024 };

//! O3, O5, T7, T9: a token response is a token or an error, is read up to the limit, and reveals no secret.

use std::{error::Error, fmt::Write, future::ready, time::Duration};

use http::{Request, Response, StatusCode};
use http_body::{Body, SizeHint};
use tower_outbound_auth::{
    AuthError, BoxError, Credentials,
    oauth::ClientCredentialsGrant,
    token::{AccessToken, FetchRequest, TokenSource},
};

use crate::{
    body::{self, Scripted, Step, Tally},
    drive::{Limits, drive},
    input::Input,
    token_opinion::{self, LONGEST_BODY, Opinion},
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let status = status(&mut input);
    let body = body(&mut input);
    let steps = body::cut(&mut input, &body);
    let (result, tally) = fetch(status, &steps, hint(&mut input));

    let (polls, before_last) = (tally.polls(), tally.bytes_before_the_last_frame());
    assert!(polls <= LONGEST_BODY + steps.len() + 1, "{polls} frames asked for");
    assert!(before_last <= LONGEST_BODY, "{before_last} bytes read, and then more");
    let told = result.as_ref().map_or_else(told, |token| format!("{token:?}"));
    let text = String::from_utf8_lossy(&body);
    match token_opinion::of(status.as_u16(), &steps) {
        Opinion::Token { secret, lifetime, scope } => {
            let token = result.unwrap_or_else(|error| panic!("a token, but the crate says: {error}\n{text}"));
            assert_eq!((token.expose_secret(), token.scope()), (&*secret, scope.as_deref()), "{text}");
            // Counted down on the wall clock, which does not pause.
            let left = token.expires_in();
            let is_close = left.zip(lifetime).is_none_or(|(left, all)| left <= all && all <= left + A_SLOW_RUN);
            assert!(left.is_some() == lifetime.is_some() && is_close, "{left:?} of {lifetime:?}: {text}");
            assert!(!told.contains(PLANTED) || scope.is_some_and(|scope| scope.contains(PLANTED)), "told: {told}");
        }
        Opinion::Failure { kind, code } => {
            let error = result.err().unwrap_or_else(|| panic!("{kind:?}, but the crate says: a token: {text}"));
            let code = code.filter(|code| !code.contains(SECRET));
            assert_eq!((error.kind(), error.oauth_error()), (kind, code.as_deref()), "{text}");
            assert!(!error.to_string().contains(PLANTED), "told: {error}");
            let told = code.map_or(told.clone(), |code| told.replace(&code, ""));
            // For the accessor and `Debug` alone.
            let told =
                error.oauth_error_description().map_or(told.clone(), |description| told.replace(description, ""));
            assert!(!told.contains(PLANTED) && !told.contains(SECRET), "told: {told}");
        }
    }
}

/// Fetches a token; the response's body follows these steps.
fn fetch(status: StatusCode, steps: &[Step], hint: SizeHint) -> (Result<AccessToken, AuthError>, Tally) {
    let (body, tally) = Scripted::new(steps.iter().cloned(), hint);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let source = source(response);
    let limits = Limits { polls: steps.len() + 2 * LONGEST_BODY, bytes: MOST_MEMORY };
    (drive(limits, source.fetch(FetchRequest::new())), tally)
}

fn source<B>(response: Response<B>) -> ClientCredentialsGrant
where
    B: Body<Error = body::Broken, Data: Send> + Send + 'static,
{
    grant("https://login.example.com/token", response)
}

/// Returns a grant whose only token request gets this response.
pub(crate) fn grant<B>(token_url: &str, response: Response<B>) -> ClientCredentialsGrant
where
    B: Body<Error = body::Broken, Data: Send> + Send + 'static,
{
    let response = std::sync::Arc::new(std::sync::Mutex::new(Some(response)));
    let transport = tower::service_fn(move |_: Request<_>| {
        let response = response.lock().ok().and_then(|mut response| response.take());
        ready(response.ok_or_else(|| BoxError::from("a second token request")))
    });
    let credentials = Credentials::new("fuzz", SECRET);
    let grant = ClientCredentialsGrant::builder(token_url, credentials).transport(transport);
    grant.build().expect("the settings are valid")
}

/// Everything that an error shows, with its causes.
fn told(error: &AuthError) -> String {
    let mut told = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(told, " {error} {error:?}").expect("a string takes everything");
        cause = error.source();
    }
    told
}

fn status(input: &mut Input<'_>) -> StatusCode {
    let number = match input.below(4) {
        0 | 1 => 200,
        2 => input.pick(&[201, 204, 302, 307, 400, 401, 403, 408, 425, 429, 500, 503]),
        _ => 100 + u16::try_from(input.below(900)).unwrap_or_default(),
    };
    StatusCode::from_u16(number).unwrap_or_default()
}

fn hint(input: &mut Input<'_>) -> SizeHint {
    input.pick(&[None, Some(0), Some(5), Some(100_000), Some(u64::MAX)]).map_or(SizeHint::new(), SizeHint::with_exact)
}

/// Any bytes, or JSON that resembles a token response.
fn body(input: &mut Input<'_>) -> Vec<u8> {
    if input.below(3) == 0 {
        let length = input.pick(&[64, 1, 255, usize::MAX]);
        return input.bytes(length).to_vec();
    }
    let (open, close) = if input.one_in(12) { ("[", "]") } else { ("{", "}") };
    let named = open == "{";
    let fields: Vec<_> = (0..=input.below(7)).map(|_| field(input, named)).collect();
    let mut body = format!("{open}{}{close}", fields.join(input.pick(&[",", " ,\n", ","]))).into_bytes();
    for _ in 0..input.pick(&[0, 0, 0, 0, 0, 1, 2]) {
        let at = input.below(body.len());
        body[at] = input.pick(b"\0\"\\/{}[]:,0xe-\xff");
    }
    let length = input.pick(&[0, 0, 0, 0, 0, 0, 0, LONGEST_BODY - 1, LONGEST_BODY, LONGEST_BODY + 1, 200_000]);
    body.resize(length.max(body.len()), b' ');
    body
}

fn field(input: &mut Input<'_>, named: bool) -> String {
    let keys =
        ["access_token", "token_type", "expires_in", "scope", "error", "error_description", "x", "access_\\u0074oken"];
    let which = input.below(keys.len());
    let value = match which {
        _ if input.one_in(10) => input.pick(&ODD).to_owned(),
        0 | 7 => token(input),
        1 => input.pick(&["\"Bearer\"", "\"bearer\"", "\"BEARER\"", "\"mac\"", "null", "\"\""]).to_owned(),
        2 => input.pick(&LIFETIMES).to_owned(),
        4 => input.pick(&CODES).to_owned(),
        6 => {
            let depth = input.pick(&[1, 127, 128, 300]);
            "[".repeat(depth) + &"]".repeat(depth)
        }
        _ => format!("\"{}{}\"", PLANTED, input.below(10)),
    };
    if named { format!("\"{}\":{value}", keys[which]) } else { value }
}

fn token(input: &mut Input<'_>) -> String {
    let inside = match input.below(8) {
        0 | 1 => format!("{PLANTED}.eyJhbGciOi"),
        2 => "a".repeat(input.pick(&[16 * 1024, 16 * 1024 + 1, 16 * 1024 - 1, 1])),
        3 => (0..input.below(12)).map(|_| input.pick(&PIECES)).collect(),
        4 => String::from_utf8_lossy(input.bytes(9)).into_owned(),
        5 => format!("b\\/{PLANTED}\\/\\/"),
        6 => format!("\\u0041{PLANTED}"),
        _ => String::new(),
    };
    format!("\"{inside}\"")
}

/// In the responses; no error may show it.
const PLANTED: &str = "pLaNtEd";
const SECRET: &str = "s3cr3t-of-the-client";
/// The body in one piece, a copy while it is parsed, and some frames.
const MOST_MEMORY: u64 = 512 * 1024;
const A_SLOW_RUN: Duration = Duration::from_secs(10);
const ODD: [&str; 12] =
    ["null", "0", "true", "[]", "{}", "\"\"", "-1", "\"x\"", "[1]", "{\"a\":1}", "\"\\ud800\"", "\"\\u0000\""];
const PIECES: [&str; 12] = ["a", "\\/", "\\\\", "\\\"", "/", "\\n", "\\u002f", "\\u007f", "é", " ", "\\t", "\\u0000"];
const LIFETIMES: [&str; 24] = [
    "3600",
    "0",
    "-1",
    "1.5",
    "\"3600\"",
    "\" 60 \"",
    "\"1.5\"",
    "null",
    "1e400",
    "1e300",
    "-1e300",
    "\"1e999\"",
    "\"NaN\"",
    "\"inf\"",
    "\"-inf\"",
    "18446744073709551616",
    "315360000",
    "315360001",
    "5e-324",
    "\"\"",
    "\"soon\"",
    "\"+5\"",
    "0.0000000001",
    "true",
];
const CODES: [&str; 10] = [
    "\"invalid_client\"",
    "\"invalid_grant\"",
    "null",
    "\"s3cr3t-of-the-client\"",
    "\"a s3cr3t-of-the-client b\"",
    "\"pLaNtEd \\\" quote\"",
    "\"pLaNtEd\\n\"",
    "\"pLaNtEd é\"",
    "5",
    "\"pLaNtEd-and-longer-than-anybody-would-ever-call-an-error-xxxxxxxxxxx\"",
];

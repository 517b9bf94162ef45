//! A second opinion on a token response: O3, O5, T7 and T9, written plainly.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, value::RawValue};
use tower_outbound_auth::ErrorKind::{self, Denied, Malformed, Timeout, Unavailable};

use crate::body::Step;

#[derive(Debug, PartialEq)]
pub(crate) enum Opinion {
    Token { secret: String, lifetime: Option<Duration>, scope: Option<String> },
    Failure { kind: ErrorKind, code: Option<String> },
}

/// What a response means whose body follows these steps.
pub(crate) fn of(status: u16, steps: &[Step]) -> Opinion {
    match received(steps) {
        Received::Whole(body) => of_body(status, Some(&body)),
        Received::TooLong => of_body(status, None),
        Received::Broken => failure(Unavailable),
        Received::Stalled => failure(Timeout),
    }
}

pub(crate) const LONGEST_BODY: usize = 64 * 1024;
const OF_RFC: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];
const LONGEST_TOKEN: usize = 16 * 1024;
const TEN_YEARS: f64 = 10.0 * 365.0 * 24.0 * 3600.0;

enum Received {
    Whole(Vec<u8>),
    TooLong,
    Broken,
    Stalled,
}

fn received(steps: &[Step]) -> Received {
    let mut body = Vec::new();
    for step in steps {
        match step {
            Step::Data(pieces) => body.extend(pieces.iter().flatten()),
            Step::Forever(_) => return Received::TooLong,
            Step::Fails(_) => return Received::Broken,
            Step::Stalls => return Received::Stalled,
            Step::Trailers(_) | Step::Later => {}
        }
        if body.len() > LONGEST_BODY {
            return Received::TooLong;
        }
    }
    Received::Whole(body)
}

fn of_body(status: u16, body: Option<&[u8]>) -> Opinion {
    let fields = body.and_then(Fields::read);
    let error = fields.as_ref().and_then(|fields| fields.value("error"));
    let code = error.as_ref().and_then(Value::as_str).and_then(code);
    let failure = |kind| Opinion::Failure { kind, code: code.clone() };
    if !(200..300).contains(&status) {
        return failure(kind(status, code.as_deref()));
    }
    let Some(fields) = fields else {
        return failure(Malformed);
    };
    if fields.has_error() {
        return failure(kind(status, code.as_deref()));
    }
    of_success(&fields).unwrap_or(Opinion::Failure { kind: Malformed, code: None })
}

fn kind(status: u16, code: Option<&str>) -> ErrorKind {
    match (status, code) {
        (408 | 425 | 429 | 500..600, _) | (_, Some("temporarily_unavailable" | "server_error" | "slow_down")) => {
            Unavailable
        }
        (200..300 | 400..500, Some(code)) if OF_RFC.contains(&code) => Denied,
        (401, None) => Denied,
        (200..300 | 400..500, _) => Unavailable,
        _ => Malformed,
    }
}

fn of_success(fields: &Fields) -> Option<Opinion> {
    if let Some(json) = fields.json("token_type").filter(|json| json.starts_with('"')) {
        let text: String = serde_json::from_str(json).ok()?;
        if text.trim().to_lowercase() != "bearer" {
            return None;
        }
    }
    let secret: String = serde_json::from_str(fields.json("access_token")?).ok()?;
    let secret = Some(secret).filter(|secret| is_header_value(secret))?;
    let lifetime = fields.json("expires_in").and_then(|json| {
        let text = if json.starts_with('"') { serde_json::from_str(json).ok()? } else { json.to_owned() };
        let text = text.trim();
        let seconds: f64 =
            text.parse().ok().filter(|_| text.starts_with(|c: char| c == '+' || c == '.' || c.is_ascii_digit()))?;
        let bounded = if text.contains(['n', 'N']) { None } else { Some(seconds.min(TEN_YEARS)) };
        Some(Duration::from_secs_f64(bounded?)).filter(|lifetime| !lifetime.is_zero())
    });
    let scope = fields.value("scope").and_then(|scope| match scope {
        Value::String(scope) => Some(scope),
        Value::Array(scopes) => {
            scopes.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|scopes| scopes.join(" "))
        }
        _ => None,
    });
    let scope = scope.filter(|scope| secret.len() < 6 || !scope.contains(&secret));
    Some(Opinion::Token { secret, lifetime, scope })
}

fn failure(kind: ErrorKind) -> Opinion {
    Opinion::Failure { kind, code: None }
}

fn is_header_value(secret: &str) -> bool {
    let fits = |byte: u8| byte == b'\t' || byte >= b' ' && byte != 0x7f;
    (1..=LONGEST_TOKEN).contains(&secret.len()) && secret.bytes().all(fits)
}

/// The `error` code, if it is one that is kept.
fn code(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c == '_';
    ((1..=32).contains(&text.len()) && text.chars().all(fits)).then(|| text.to_owned())
}

/// A JSON string has no control characters; those that it has all the same count as DEL.
fn without_controls(text: &str) -> String {
    let (mut quoted, mut escaped, mut clean) = (false, false, String::new());
    for c in text.chars() {
        clean.push(if quoted && !escaped && c < ' ' { '\u{7f}' } else { c });
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
    }
    clean
}

/// The members of a JSON object as text; the last one of a name counts.
struct Fields(HashMap<String, Box<RawValue>>);

impl Fields {
    fn read(body: &[u8]) -> Option<Self> {
        let mut text = String::new();
        for chunk in body.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| '\u{7f}'));
        }
        let text = without_controls(&text);
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)).ok().map(Self)
    }

    fn json(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|json| json.get())
    }

    fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.json(name)?).ok()
    }

    fn has_error(&self) -> bool {
        let empty = ["null", "false", "{}", "[]"].map(|json| serde_json::from_str(json).ok());
        match self.value("error") {
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            value @ Some(_) => !empty.contains(&value),
            None => self.json("error").is_some(),
        }
    }
}

//! A second opinion on the answer to a token request: behaviour O3, O5, T7 and T9, written as plainly as can be.

use std::{fmt, time::Duration};

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use tower_outbound_auth::ErrorKind::{self, Denied, Malformed, Timeout, Unavailable};

use crate::body::Step;

#[derive(Debug, PartialEq)]
pub(crate) enum Opinion {
    Token { secret: String, lifetime: Option<Duration>, scope: Option<String> },
    Failure { kind: ErrorKind, code: Option<String> },
}

/// What becomes of an answer that comes in these steps.
pub(crate) fn of(status: u16, steps: &[Step]) -> Opinion {
    match received(steps) {
        Received::Whole(body) => of_body(status, Some(&body)),
        Received::TooLong => of_body(status, None),
        Received::Broken => failure(Unavailable),
        Received::Stalled => failure(Timeout),
    }
}

pub(crate) const LONGEST_BODY: usize = 64 * 1024;
const OF_SUCCESS: [&str; 5] = ["access_token", "token_type", "expires_in", "scope", "error"];
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
    if (200..300).contains(&status) {
        let fields = body.and_then(|body| Named(&OF_SUCCESS).read(body));
        return fields.and_then(|fields| of_success(&fields)).unwrap_or(failure(Malformed));
    }
    let kind = match status {
        408 | 425 | 429 | 500..600 => Unavailable,
        400..500 => Denied,
        _ => Malformed,
    };
    let redirects = (300..400).contains(&status);
    let fields = body.filter(|_| !redirects).and_then(|body| Named(&["error"]).read(body));
    let code = fields.and_then(|fields| code(fields.only("error")?.as_str()?));
    Opinion::Failure { kind, code }
}

fn of_success(fields: &Fields) -> Option<Opinion> {
    let secret = fields.text("access_token")?;
    let token_type = fields.text("token_type")?;
    let scope = fields.text("scope")?;
    let error = fields.only("error")?;
    let expires_in = fields.only("expires_in")?;
    if !error.is_null() {
        return Some(Opinion::Failure { kind: Denied, code: error.as_str().and_then(code) });
    }
    if token_type.is_some_and(|kind| kind.to_lowercase() != "bearer") {
        return None;
    }
    let secret = secret.filter(|secret| is_header_value(secret))?;
    let lifetime = match expires_in {
        Value::Null => None,
        Value::Number(number) => Some(seconds(number.as_f64()?)?),
        Value::String(text) => Some(seconds(text.trim().parse().ok()?)?),
        _ => return None,
    };
    Some(Opinion::Token { secret, lifetime, scope })
}

fn failure(kind: ErrorKind) -> Opinion {
    Opinion::Failure { kind, code: None }
}

fn is_header_value(secret: &str) -> bool {
    let fits = |byte: u8| byte == b'\t' || byte >= b' ' && byte != 0x7f;
    (1..=LONGEST_TOKEN).contains(&secret.len()) && secret.bytes().all(fits)
}

fn seconds(seconds: f64) -> Option<Duration> {
    let bounded = seconds.is_finite().then(|| seconds.clamp(0.0, TEN_YEARS));
    bounded.map(Duration::from_secs_f64)
}

/// The `error` code of RFC 6749, section 5.2, if it is one.
fn code(text: &str) -> Option<String> {
    let fits = |c: char| (' '..='~').contains(&c) && c != '"' && c != '\\';
    ((1..=64).contains(&text.len()) && text.chars().all(fits)).then(|| text.to_owned())
}

/// Fields of a JSON object, in order, twice if they are there twice.
struct Fields(Vec<(String, Value)>);

impl Fields {
    /// The field's value, null if it is not there; none if it is there twice.
    fn only(&self, name: &str) -> Option<&Value> {
        let mut found = self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
        let first = found.next().unwrap_or(&Value::Null);
        found.next().is_none().then_some(first)
    }

    /// The field as text, if it is there; none if it is something else, or there twice.
    #[expect(clippy::option_option, reason = "it may be good, absent or wrong")]
    fn text(&self, name: &str) -> Option<Option<String>> {
        match self.only(name)? {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text.clone())),
            _ => None,
        }
    }
}

/// Reads an object's fields of these names, and lets others pass.
#[derive(Clone, Copy)]
struct Named(&'static [&'static str]);

impl Named {
    fn read(self, body: &[u8]) -> Option<Fields> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let fields = json.deserialize_map(self).ok()?;
        json.end().is_ok().then_some(fields)
    }
}

impl<'de> Visitor<'de> for Named {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.0.contains(&name.as_str()) {
                fields.push((name, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Fields(fields))
    }
}

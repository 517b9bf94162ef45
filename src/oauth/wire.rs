//! The token request and its answer as text (RFC 6749, sections 2.3.1, 4.4, 5.1, 5.2): pure functions.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    error::{AuthError, ErrorKind},
    time,
    token::AccessToken,
};

/// `application/x-www-form-urlencoded`, in memory that is wiped and was never moved.
pub(crate) fn form<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Bytes {
    let longest = pairs.clone().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = Zeroizing::new(String::with_capacity(longest));
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        form.push('=');
        form.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }
    Bytes::from_owner(form)
}

/// The value of an `Authorization: Basic` header; id and secret as they are, or form-encoded as RFC 6749 wants it.
pub(crate) fn basic(id: &str, secret: &str, encoded: bool) -> Result<HeaderValue, AuthError> {
    let mut pair = Zeroizing::new(String::with_capacity(3 * (id.len() + secret.len()) + 1));
    if encoded {
        pair.extend(form_urlencoded::byte_serialize(id.as_bytes()));
        pair.push(':');
        pair.extend(form_urlencoded::byte_serialize(secret.as_bytes()));
    } else {
        pair.extend([id, ":", secret]);
    }
    let mut header = Zeroizing::new(String::with_capacity("Basic ".len() + pair.len().div_ceil(3) * 4));
    header.push_str("Basic ");
    STANDARD.encode_string(pair.as_bytes(), &mut header);
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(header))
        .map_err(|error| AuthError::config("the client id and secret make no header value").with_source(error))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Whether form-encoding changes this text.
pub(crate) fn is_encoded(text: &str) -> bool {
    form_urlencoded::byte_serialize(text.as_bytes()).any(|part| part.starts_with(['%', '+']))
}

/// Undoes the one escape that tokens come with, `\/`, in place. A string without escapes is read from where it stands;
/// one with them would be put together in memory that nobody wipes.
pub(crate) fn unescape_slashes(body: &mut Vec<u8>) {
    let mut in_escape = false;
    body.dedup_by(|next, before| {
        let slash = in_escape && *next == b'/';
        if slash {
            *before = b'/';
        }
        in_escape = !in_escape && *next == b'\\';
        slash
    });
}

/// Reads the answer to a token request. `body` is `None` if it was longer than anybody reads.
pub(crate) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    body: Option<&[u8]>,
    now: SystemTime,
) -> Result<AccessToken, AuthError> {
    if !status.is_success() {
        return Err(refusal(status, body).with_retry_after(time::retry_after(headers, now)));
    }
    let body = body.ok_or_else(|| malformed("the token response is longer than 64 KiB"))?;
    let answer: Success =
        object(body).ok_or_else(|| malformed("the token response is not the JSON object of RFC 6749, section 5.1"))?;
    if let Some(error) = answer.error {
        let denied = AuthError::new(ErrorKind::Denied, "the authorization server answered 200 with an error");
        return Err(with_code(denied, error.as_str()));
    }
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(malformed("the token response's token_type is not Bearer"));
    }
    let token = answer.access_token.ok_or_else(|| malformed("the token response has no access_token"))?;
    let lifetime = answer.expires_in.as_ref().map(lifetime).transpose()?;
    let token = AccessToken::new(token, lifetime)?;
    Ok(match answer.scope {
        Some(scope) => token.with_scope(scope),
        None => token,
    })
}

/// Reads a JSON object, and no array of its values, which serde would take as well. What serde says of a body may quote
/// it, so nobody hears of that.
fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    body.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(body).ok()).flatten()
}

#[derive(Deserialize)]
struct Success {
    access_token: Option<SecretString>,
    token_type: Option<String>,
    expires_in: Option<Value>,
    scope: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

fn refusal(status: StatusCode, body: Option<&[u8]>) -> AuthError {
    let number = status.as_u16();
    if status.is_redirection() {
        return malformed(format!(
            "the token endpoint redirects ({number}), which is never followed: name its new URL"
        ));
    }
    let error = if status.is_server_error() || matches!(number, 408 | 425 | 429) {
        AuthError::new(ErrorKind::Unavailable, format!("the authorization server cannot serve the request ({number})"))
    } else if status.is_client_error() {
        AuthError::new(ErrorKind::Denied, format!("the authorization server refused the token request ({number})"))
    } else {
        malformed(format!("the token endpoint answered with a status that means nothing here ({number})"))
    };
    let failure: Option<Failure> = body.and_then(object);
    with_code(error, failure.as_ref().map(|failure| failure.error.as_str()))
}

/// Adds the `error` code if it is one of section 5.2: printable ASCII but for quote and backslash.
fn with_code(error: AuthError, code: Option<&str>) -> AuthError {
    let fits = |code: &&str| {
        (1..=LONGEST_CODE).contains(&code.len())
            && code.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte))
    };
    match code.filter(fits) {
        Some(code) => error.with_oauth_error(code),
        None => error,
    }
}

/// `expires_in` in seconds: a number, or one in a string as some servers have it. Below zero it has ended already.
fn lifetime(value: &Value) -> Result<Duration, AuthError> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds.is_finite() => {
            Ok(Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST_LIFETIME)).unwrap_or_default())
        }
        _ => Err(malformed("the token response's expires_in is no number of seconds")),
    }
}

fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> AuthError {
    AuthError::new(ErrorKind::Malformed, message)
}

/// Ten years, in seconds.
const LONGEST_LIFETIME: f64 = 10.0 * 365.0 * 86_400.0;
const LONGEST_CODE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// How often memory was asked for. Text that outgrows its memory is moved, and leaves a copy that nobody wipes.
    fn allocations<T>(write: impl FnOnce() -> T) -> u64 {
        allocation_counter::measure(|| drop(write())).count_total
    }

    #[test]
    fn o6_a_form_never_outgrows_its_memory() {
        let of = |pairs: &[(&str, &str)]| allocations(|| form(pairs.iter().copied()));
        let (plain, escaped) = ("x".repeat(100), "%".repeat(100));
        let usual = of(&[("a", "b")]);
        for (name, value) in
            [("", ""), ("", "%%"), ("%%", ""), ("a", &escaped), (&escaped, &plain), (&escaped, &escaped)]
        {
            assert_eq!(of(&[(name, value); 10]), usual, "{name}={value}");
        }
    }

    #[test]
    fn o6_basic_credentials_never_outgrow_their_memory() {
        let of = |id: &str, secret: &str, encoded| allocations(|| basic(id, secret, encoded));
        let (plain, escaped) = ("x".repeat(100), "%".repeat(100));
        let usual = of("a", "b", true);
        for (id, secret) in
            [("", ""), ("a", escaped.as_str()), (&escaped, ""), (&escaped, &plain), (&escaped, &escaped)]
        {
            assert_eq!([of(id, secret, true), of(id, secret, false)], [usual; 2], "{id}:{secret}");
        }
    }

    #[test]
    fn o6_only_an_escaped_slash_is_unescaped() {
        for (json, expected) in [
            (r#"{"a":"b\/c\/"}"#, r#"{"a":"b/c/"}"#),
            (r#"{"a":"b\\/c"}"#, r#"{"a":"b\\/c"}"#),
            (r#"{"a":"\\\/\"\n\u00e9/"}"#, r#"{"a":"\\/\"\n\u00e9/"}"#),
            (r#""/""#, r#""/""#),
            ("/", "/"),
            ("", ""),
        ] {
            let mut body = json.as_bytes().to_vec();
            unescape_slashes(&mut body);
            assert_eq!(String::from_utf8_lossy(&body), expected);
        }
    }
}

//! The token endpoint: the client-credentials grant of RFC 6749, section 4.4.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::state::{Client, ServerState};

pub(super) fn router() -> Router<Arc<ServerState>> {
    Router::new().route(PATH, post(grant))
}

/// An error response (RFC 6749, section 5.2).
enum TokenError {
    InvalidRequest(&'static str),
    InvalidClient,
    /// The same, for credentials in `Authorization`.
    InvalidBasic,
    UnsupportedGrantType,
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let challenge = matches!(self, Self::InvalidBasic).then_some([(WWW_AUTHENTICATE, r#"Basic realm="sandbox""#)]);
        let (status, error, description) = match self {
            Self::InvalidRequest(description) => (StatusCode::BAD_REQUEST, "invalid_request", description),
            Self::InvalidClient | Self::InvalidBasic => {
                (StatusCode::UNAUTHORIZED, "invalid_client", "wrong client_id or client_secret")
            }
            Self::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "grant_type must be client_credentials")
            }
        };
        let body = json!({ "error": error, "error_description": description });
        (status, [NO_STORE], challenge, Json(body)).into_response()
    }
}

async fn grant(
    State(shared): State<Arc<ServerState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, TokenError> {
    let basic = headers.get(AUTHORIZATION).filter(|_| shared.accepts_basic());
    check_headers(&headers, basic.is_some())?;
    let form = read_form(&body)?;
    let client = match basic {
        Some(basic) => check_basic(&shared, basic, &form)?,
        None => check_form(&shared, &form)?,
    };
    client.counters.tokens.add_one();
    let response = json!({
        "access_token": shared.tokens.issue(client.credentials.client_id()),
        "token_type": "Bearer",
        "expires_in": seconds(shared.tokens.lifetime),
    });
    Ok(([NO_STORE], Json(response)).into_response())
}

fn check_headers(headers: &HeaderMap, may_authorize: bool) -> Result<(), TokenError> {
    if headers.get_all(AUTHORIZATION).iter().count() > usize::from(may_authorize) {
        return Err(TokenError::InvalidRequest("Authorization has no place here: credentials go into the form"));
    }
    if !is_media_type(headers, &ACCEPT, "application/json") {
        return Err(TokenError::InvalidRequest("Accept must be application/json"));
    }
    if !is_media_type(headers, &CONTENT_TYPE, "application/x-www-form-urlencoded") {
        return Err(TokenError::InvalidRequest("Content-Type must be application/x-www-form-urlencoded"));
    }
    Ok(())
}

fn check_form<'a>(shared: &'a ServerState, form: &HashMap<Vec<u8>, Vec<u8>>) -> Result<&'a Client, TokenError> {
    let field = |name: &str, missing| match form.get(name.as_bytes()) {
        Some(value) if !value.is_empty() => Ok(value.as_slice()),
        _ => Err(TokenError::InvalidRequest(missing)),
    };
    let grant_type = field("grant_type", "grant_type is missing")?;
    let id = field("client_id", "client_id is missing")?;
    #[cfg(feature = "jwt")]
    let secret =
        if shared.assertions.is_some() { &[][..] } else { field("client_secret", "client_secret is missing")? };
    #[cfg(not(feature = "jwt"))]
    let secret = field("client_secret", "client_secret is missing")?;
    if grant_type != b"client_credentials" {
        return Err(TokenError::UnsupportedGrantType);
    }
    #[cfg(feature = "jwt")]
    if let Some(assertions) = &shared.assertions {
        let kind = field("client_assertion_type", "client_assertion_type is missing")?;
        let assertion = field("client_assertion", "client_assertion is missing")?;
        let is_alone = !form.contains_key(&b"client_secret"[..]);
        let signs = |client: &&Client| {
            is_alone && kind == JWT_BEARER && accepts(shared, assertions, assertion, client.credentials.client_id())
        };
        return shared.client(id).filter(signs).ok_or(TokenError::InvalidClient);
    }
    let has_secret = |client: &&Client| client.credentials.secret().expose_secret().as_bytes() == secret;
    shared.client(id).filter(has_secret).ok_or(TokenError::InvalidClient)
}

/// Checks credentials in `Authorization` (RFC 6749, section 2.3.1); many clients send them without form-encoding.
fn check_basic<'a>(
    shared: &'a ServerState,
    basic: &HeaderValue,
    form: &HashMap<Vec<u8>, Vec<u8>>,
) -> Result<&'a Client, TokenError> {
    if form.get(&b"grant_type"[..]).is_none_or(|grant_type| grant_type != b"client_credentials") {
        return Err(TokenError::UnsupportedGrantType);
    }
    if form.contains_key(&b"client_secret"[..]) {
        return Err(TokenError::InvalidRequest("the client authenticates in two ways"));
    }
    let pair = basic.to_str().ok().and_then(|value| with_scheme(value, "basic"));
    let pair = pair.and_then(|pair| STANDARD.decode(pair).ok()).unwrap_or_default();
    let mut halves = pair.splitn(2, |byte| *byte == b':');
    let (id, secret) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let matches = |sent: &[u8], expected: &str| {
        sent == expected.as_bytes() || form_decoded(sent).is_some_and(|sent| sent == expected.as_bytes())
    };
    let is_meant = |client: &&Client| {
        matches(id, client.credentials.client_id()) && matches(secret, client.credentials.secret().expose_secret())
    };
    shared.clients.iter().find(is_meant).ok_or(TokenError::InvalidBasic)
}

#[cfg(feature = "jwt")]
fn accepts(shared: &ServerState, assertions: &super::assertion::Assertions, assertion: &[u8], client_id: &str) -> bool {
    let (token_url, now) = (format!("{}{PATH}", shared.origin), shared.clock.unix_seconds());
    std::str::from_utf8(assertion)
        .is_ok_and(|text| assertions.accepts(text, client_id, &[&token_url, &shared.origin], now))
}

/// Parses a form in which no field is repeated (RFC 6749, section 3.2).
fn read_form(body: &[u8]) -> Result<HashMap<Vec<u8>, Vec<u8>>, TokenError> {
    const BAD_ESCAPE: TokenError = TokenError::InvalidRequest("a % in the form is not followed by two hex digits");
    let mut form = HashMap::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = form_decoded(halves.next().unwrap_or_default()).ok_or(BAD_ESCAPE)?;
        let value = form_decoded(halves.next().unwrap_or_default()).ok_or(BAD_ESCAPE)?;
        if form.insert(name, value).is_some() {
            return Err(TokenError::InvalidRequest("a field of the form is there twice"));
        }
    }
    Ok(form)
}

/// Decodes form-encoding byte by byte. The usual parsers accept a bare `%` and replace what is not UTF-8.
fn form_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        decoded.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_first_chunk::<2>()?;
                rest = after;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                byte[0]
            }
            other => other,
        });
    }
    Some(decoded)
}

/// Whether a header is sent once and has this media type, with or without parameters.
pub(super) fn is_media_type(headers: &HeaderMap, name: &HeaderName, expected: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    value
        .to_str()
        .is_ok_and(|value| value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(expected)))
}

/// What follows this scheme in `Authorization`.
pub(super) fn with_scheme<'a>(authorization: &'a str, scheme: &str) -> Option<&'a str> {
    let (sent, rest) = authorization.split_once(' ')?;
    sent.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// An integer for whole seconds, and a float otherwise.
fn seconds(duration: Duration) -> Value {
    if duration.subsec_nanos() == 0 { json!(duration.as_secs()) } else { json!(duration.as_secs_f64()) }
}

pub(super) const PATH: &str = "/token";
#[cfg(feature = "jwt")]
const JWT_BEARER: &[u8] = b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const NO_STORE: (HeaderName, &str) = (CACHE_CONTROL, "no-store");

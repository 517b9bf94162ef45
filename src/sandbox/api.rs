//! The reports API, and who may use it.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{FIID, RejectionStyle, download, exchange::message, state::Shared, token::is_media_type};
use crate::paynet::{self, X_FIID, X_SIGNATURE, X_TIMESTAMP};

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/reports/types", get(types))
        .route("/v1/reports/download", post(report))
        .route("/v2/reports/query", post(query))
}

/// Why the API does not do what a request asks for.
enum Refusal {
    Token(RejectionStyle),
    Message(&'static str),
    SentTwice(HeaderName),
    /// The API's own errors come with status 200.
    Input(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Token(RejectionStyle::Documented400) => message(StatusCode::BAD_REQUEST, FORBIDDEN),
            Self::Token(RejectionStyle::Unauthorized401) => {
                let challenge = (WWW_AUTHENTICATE, r#"Bearer realm="paynet", error="invalid_token""#);
                ([challenge], message(StatusCode::UNAUTHORIZED, "invalid_token")).into_response()
            }
            Self::Message(text) => message(StatusCode::BAD_REQUEST, text),
            Self::SentTwice(name) => message(StatusCode::BAD_REQUEST, &format!("the header {name} was sent twice")),
            Self::Input(text) => {
                let error = json!({ "code": "E0001", "message": text });
                Json(json!({ "success": false, "error": error })).into_response()
            }
        }
    }
}

/// Whether an endpoint needs `X-Fiid` beside token and signature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fiid {
    Needed,
    Ignored,
}

#[derive(Deserialize)]
struct Query {
    query: String,
}

async fn types(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    admit(&shared, &headers, Fiid::Ignored)?;
    Ok(Json(json!({
        "success": true,
        "data": [
            { "report_type": "settlement", "product": "duitnow_transfer" },
            { "report_type": "transaction", "product": "duitnow_qr" },
        ],
    })))
}

async fn report(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, Refusal> {
    admit(&shared, &headers, Fiid::Ignored)?;
    let order: download::Order = input(&headers, &body)?;
    order.check().map_err(|what| Refusal::Input(what.to_owned()))?;
    Ok(Json(json!({ "success": true, "data": { "url": order.url(&shared) } })))
}

async fn query(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, Refusal> {
    admit(&shared, &headers, Fiid::Needed)?;
    let query: Query = input(&headers, &body)?;
    if query.query.trim().is_empty() {
        return Err(Refusal::Input("query is empty".to_owned()));
    }
    Ok(Json(json!({ "data": { "__typename": "Query" } })))
}

fn admit(shared: &Shared, headers: &HeaderMap, fiid: Fiid) -> Result<(), Refusal> {
    let verdict = check(shared, headers, fiid);
    let counters = &shared.counters;
    let counter = if verdict.is_ok() { &counters.accepted } else { &counters.rejected };
    counter.add_one();
    verdict
}

fn check(shared: &Shared, headers: &HeaderMap, fiid: Fiid) -> Result<(), Refusal> {
    let token = header(headers, &AUTHORIZATION)?.and_then(bearer);
    if !token.is_some_and(|token| shared.tokens.is_valid(token)) {
        return Err(Refusal::Token(shared.rejection));
    }
    if fiid == Fiid::Needed {
        match header(headers, &X_FIID)? {
            Some(FIID) => {}
            Some(_) => return Err(Refusal::Message(FORBIDDEN)),
            None => return Err(Refusal::Message("X-Fiid is required")),
        }
    }
    let timestamp = header(headers, &X_TIMESTAMP)?.ok_or(Refusal::Message("Timestamp is required"))?;
    let signature = header(headers, &X_SIGNATURE)?.ok_or(Refusal::Message("Signature is required"))?;
    if !in_window(shared, timestamp) {
        return Err(Refusal::Message("Timestamp not within valid range"));
    }
    if signature != paynet::signature(timestamp, shared.credentials.secret().expose_secret()) {
        return Err(Refusal::Message("Invalid signature"));
    }
    Ok(())
}

/// The value of a header that may be there once at most. What is not ASCII is as good as empty.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().unwrap_or_default());
    if values.next().is_some() { Err(Refusal::SentTwice(name.clone())) } else { Ok(value) }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn in_window(shared: &Shared, timestamp: &str) -> bool {
    // `parse` alone would let a leading plus sign pass.
    let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let Some(timestamp) = timestamp.parse::<u64>().ok().filter(|_| digits) else {
        return false;
    };
    Duration::from_secs(shared.clock.unix_seconds().abs_diff(timestamp)) <= shared.timestamp_window
}

fn input<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    if !is_media_type(headers, &CONTENT_TYPE, "application/json") {
        return Err(Refusal::Input("Content-Type must be application/json".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::Input(error.to_string()))
}

const FORBIDDEN: &str = "Access to this resource is forbidden";

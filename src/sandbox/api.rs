//! The reports API and its authentication.

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

use super::{
    download,
    message::message,
    state::{Client, FIID, RejectionStyle, ServerState},
    token::{is_media_type, with_scheme},
};
use crate::paynet::{self, X_FIID, X_SIGNATURE, X_TIMESTAMP};

pub(super) fn router() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/v1/reports/types", get(types))
        .route("/v1/reports/download", post(report))
        .route("/v2/reports/query", post(query))
}

/// Why a request failed.
pub(super) enum ApiError {
    /// A token that is missing or not valid, and the name of the API that says so.
    Token(RejectionStyle, &'static str),
    Message(&'static str),
    SentTwice(HeaderName),
    /// An error of the API itself, which has status 200.
    Input(String),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Token(RejectionStyle::Documented400, _) => message(StatusCode::BAD_REQUEST, FORBIDDEN),
            Self::Token(RejectionStyle::Unauthorized401, realm) => {
                let challenge = format!(r#"Bearer realm="{realm}", error="invalid_token""#);
                ([(WWW_AUTHENTICATE, challenge)], message(StatusCode::UNAUTHORIZED, "invalid_token")).into_response()
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

/// Whether an endpoint requires `X-Fiid` besides token and signature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fiid {
    Required,
    Ignored,
}

#[derive(Deserialize)]
struct Query {
    query: String,
}

async fn types(State(shared): State<Arc<ServerState>>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    authenticate(&shared, &headers, |client| check(&shared, client, &headers, Fiid::Ignored))?;
    Ok(Json(json!({
        "success": true,
        "data": [
            { "report_type": "settlement", "product": "duitnow_transfer" },
            { "report_type": "transaction", "product": "duitnow_qr" },
        ],
    })))
}

async fn report(
    State(shared): State<Arc<ServerState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    authenticate(&shared, &headers, |client| check(&shared, client, &headers, Fiid::Ignored))?;
    let report: download::ReportRequest = input(&headers, &body)?;
    report.check().map_err(|what| ApiError::Input(what.to_owned()))?;
    Ok(Json(json!({ "success": true, "data": { "url": report.url(&shared) } })))
}

async fn query(
    State(shared): State<Arc<ServerState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    authenticate(&shared, &headers, |client| check(&shared, client, &headers, Fiid::Required))?;
    let query: Query = input(&headers, &body)?;
    if query.query.trim().is_empty() {
        return Err(ApiError::Input("query is empty".to_owned()));
    }
    Ok(Json(json!({ "data": { "__typename": "Query" } })))
}

/// Checks the token, then the rest by a function that is given the token's client, and counts the request.
pub(super) fn authenticate(
    shared: &ServerState,
    headers: &HeaderMap,
    check: impl FnOnce(&Client) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let bearer = |value| with_scheme(value, "bearer");
    let token =
        header(headers, &AUTHORIZATION).map(|value| value.and_then(bearer).and_then(|token| shared.tokens.find(token)));
    let client = token.as_ref().ok().and_then(|token| shared.client(token.as_ref()?.0.as_bytes()));
    let result = token.and_then(|token| {
        let is_valid = token.is_some_and(|(_, is_valid)| is_valid);
        let realm = if shared.custom_api.is_some() { "sandbox" } else { "paynet" };
        check(client.filter(|_| is_valid).ok_or(ApiError::Token(shared.rejection, realm))?)
    });
    let (counters, of_client) = (&shared.counters, client.map(|client| &client.counters));
    if result.is_ok() {
        counters.accepted.add_one();
        of_client.inspect(|of_client| of_client.accepted.add_one());
    } else {
        counters.rejected.add_one();
        of_client.inspect(|of_client| of_client.rejected.add_one());
    }
    result
}

/// Checks all but the token, which is this client's.
fn check(shared: &ServerState, client: &Client, headers: &HeaderMap, fiid: Fiid) -> Result<(), ApiError> {
    if fiid == Fiid::Required {
        match header(headers, &X_FIID)? {
            Some(FIID) => {}
            Some(_) => return Err(ApiError::Message(FORBIDDEN)),
            None => return Err(ApiError::Message("X-Fiid is required")),
        }
    }
    let timestamp = header(headers, &X_TIMESTAMP)?.ok_or(ApiError::Message("Timestamp is required"))?;
    let signature = header(headers, &X_SIGNATURE)?.ok_or(ApiError::Message("Signature is required"))?;
    if !in_window(shared, timestamp) {
        return Err(ApiError::Message("Timestamp not within valid range"));
    }
    if signature != paynet::signature(timestamp, client.credentials.secret().expose_secret()) {
        return Err(ApiError::Message("Invalid signature"));
    }
    Ok(())
}

/// The value of a header that may be sent once at most; empty if it is not ASCII.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().unwrap_or_default());
    if values.next().is_some() { Err(ApiError::SentTwice(name.clone())) } else { Ok(value) }
}

fn in_window(shared: &ServerState, timestamp: &str) -> bool {
    // `parse` would accept a leading plus sign.
    let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let Some(timestamp) = timestamp.parse::<u64>().ok().filter(|_| digits) else {
        return false;
    };
    Duration::from_secs(shared.clock.unix_seconds().abs_diff(timestamp)) <= shared.timestamp_window
}

fn input<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, ApiError> {
    if !is_media_type(headers, &CONTENT_TYPE, "application/json") {
        return Err(ApiError::Input("Content-Type must be application/json".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::Input(error.to_string()))
}

const FORBIDDEN: &str = "Access to this resource is forbidden";

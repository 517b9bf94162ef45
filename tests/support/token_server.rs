//! A token server behind a transport, for tests of what it is asked and of what it answers.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Service, service_fn};
use tower_outbound_auth::{
    AccessToken, AuthError, BoxError, Credentials, ErrorKind, FetchRequest, TokenSource,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
};

pub(crate) const TOKEN_URL: &str = "https://login.example.com/oauth/token?tenant=a";
pub(crate) const GOOD: &str = r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#;

pub(crate) type Asked = Arc<Mutex<Vec<Request<Bytes>>>>;
pub(crate) type Answer = Result<Response<Full<Bytes>>, BoxError>;

/// A token endpoint that keeps what it is asked, and answers the n-th time, from 0, as the function says.
pub(crate) fn endpoint(
    answer: impl Fn(usize) -> Answer + Clone + Send + Sync + 'static,
) -> (
    Asked,
    impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static,
) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let (log, answer) = (Arc::clone(&log), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut log = log.lock().unwrap();
            log.push(Request::from_parts(head, body));
            answer(log.len() - 1)
        }
    });
    (asked, service)
}

pub(crate) fn reply(status: u16, headers: &[(HeaderName, &str)], body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

pub(crate) fn builder() -> ClientCredentialsGrantBuilder {
    ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id", "key"))
}

pub(crate) async fn fetch(source: &ClientCredentialsGrant) -> Result<AccessToken, AuthError> {
    source.fetch(FetchRequest::new()).await
}

/// What comes of one answer.
pub(crate) async fn read(
    status: u16,
    headers: &[(HeaderName, &str)],
    body: impl Into<Bytes>,
) -> Result<AccessToken, AuthError> {
    let response = reply(status, headers, body);
    let (asked, transport) = endpoint(move |_| Ok(response.clone()));
    let read = fetch(&builder().transport(transport).build().unwrap()).await;
    assert_eq!(asked.lock().unwrap().len(), 1, "one exchange, whatever the answer");
    read
}

pub(crate) async fn read_json(answer: &Value) -> Result<AccessToken, AuthError> {
    read(200, &[], answer.to_string()).await
}

pub(crate) fn is_malformed(read: &Result<AccessToken, AuthError>) -> bool {
    read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Malformed && !error.is_transient())
}

//! A user with a sandbox and an HTTP client that knows nothing of it.

use std::{
    io::ErrorKind,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_outbound_auth::{
    BoxError,
    paynet::{X_SIGNATURE, X_TIMESTAMP, signature},
    sandbox::Sandbox,
};

pub(crate) type TestResult = Result<(), BoxError>;

pub(crate) type Edit = fn(&mut Request<Full<Bytes>>);

/// A user with a sandbox and an HTTP client that knows nothing of it.
pub(crate) struct User {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl User {
    pub(crate) fn of(sandbox: Sandbox) -> Self {
        Self::over(Protocol::Http1, sandbox)
    }

    pub(crate) fn over(protocol: Protocol, sandbox: Sandbox) -> Self {
        let client = Client::builder(TokioExecutor::new()).http2_only(protocol == Protocol::Http2).build_http();
        Self { sandbox, client }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, BoxError> {
        let (head, body) = self.client.request(request).await?.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }

    /// A token request over a connection of its own: what came, and how the connection ended.
    pub(crate) async fn send_raw(&self) -> Result<(String, Result<(), ErrorKind>), BoxError> {
        let mut connection = TcpStream::connect(self.address()).await?;
        let head = "POST /token HTTP/1.1\r\nHost: sandbox\r\nAccept: application/json";
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let request = format!("{head}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{FORM}", FORM.len());
        connection.write_all(request.as_bytes()).await?;
        let mut received = Vec::new();
        let end = connection.read_to_end(&mut received).await.map(drop).map_err(|error| error.kind());
        Ok((String::from_utf8(received)?, end))
    }

    pub(crate) fn address(&self) -> String {
        self.sandbox.environment().api_origin().trim_start_matches("http://").to_owned()
    }

    pub(crate) async fn token(&self) -> Result<String, BoxError> {
        Ok(self.send(self.token_request(FORM)).await?.text("access_token"))
    }

    pub(crate) fn token_request(&self, form: &str) -> Request<Full<Bytes>> {
        let mut request = request(Method::POST, self.sandbox.environment().token_url(), form);
        set(&mut request, header::ACCEPT, "application/json");
        set(&mut request, header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        request
    }

    pub(crate) fn types(&self, token: &str) -> Request<Full<Bytes>> {
        self.signed(token, Method::GET, "/v1/reports/types", "")
    }

    pub(crate) fn signed(&self, token: &str, method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
        let mut request = request(method, &format!("{}{path}", self.sandbox.environment().api_origin()), body);
        let timestamp = now().to_string();
        set(&mut request, header::CONTENT_TYPE, "application/json");
        set(&mut request, header::AUTHORIZATION, &format!("Bearer {token}"));
        set(&mut request, X_SIGNATURE, &signature(&timestamp, SECRET));
        set(&mut request, X_TIMESTAMP, &timestamp);
        request
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {:?}", self.body)).to_owned()
    }

    /// How many seconds `Date` is ahead of this machine's clock.
    pub(crate) fn date_offset(&self) -> i64 {
        let date = httpdate::parse_http_date(self.headers[header::DATE].to_str().unwrap()).unwrap();
        whole_seconds(date.duration_since(SystemTime::UNIX_EPOCH).unwrap()) - now()
    }
}

pub(crate) fn request(method: Method, uri: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(uri).body(Full::from(body.to_owned())).unwrap()
}

pub(crate) fn with(uri: &str, name: HeaderName, value: &str) -> Request<Full<Bytes>> {
    let mut request = request(Method::GET, uri, "");
    set(&mut request, name, value);
    request
}

pub(crate) fn set(request: &mut Request<Full<Bytes>>, name: HeaderName, value: &str) {
    request.headers_mut().insert(name, value.parse().unwrap());
}

pub(crate) fn twice(request: &mut Request<Full<Bytes>>, name: HeaderName) {
    let value = request.headers()[&name].clone();
    request.headers_mut().append(name, value);
}

pub(crate) fn upper_case(request: &mut Request<Full<Bytes>>, name: HeaderName) {
    let value = request.headers()[&name].to_str().unwrap().to_uppercase();
    set(request, name, &value);
}

pub(crate) fn now() -> i64 {
    whole_seconds(since_1970())
}

pub(crate) fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}

pub(crate) fn passed_since(start: Duration) -> Duration {
    since_1970().saturating_sub(start)
}

pub(crate) fn whole_seconds(duration: Duration) -> i64 {
    duration.as_secs().try_into().unwrap()
}

/// Ten seconds are more than an exchange takes, and less than any clock here is wrong by.
pub(crate) fn assert_near(actual: i64, expected: i64) {
    assert!((actual - expected).abs() <= 10, "{actual} s instead of {expected} s");
}

pub(crate) const SECRET: &str = "secret_abcdefghijklmnop";

pub(crate) const FORM: &str =
    "grant_type=client_credentials&client_id=client_123456789&client_secret=secret_abcdefghijklmnop";

pub(crate) const DOWNLOAD: &str = "/v1/reports/download";

pub(crate) const QUERY: &str = "/v2/reports/query";

pub(crate) const ORDER: &str =
    r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31","window":"1"}"#;

pub(crate) const FORBIDDEN: &str = "Access to this resource is forbidden";

pub(crate) const OUT_OF_RANGE: &str = "Timestamp not within valid range";

pub(crate) const UNSUPPORTED: &str = "unsupported_grant_type";

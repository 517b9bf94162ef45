//! Users can trust the sandbox: it refuses what PayNet refuses, makes the trouble it is asked for, and counts right.
#![cfg(feature = "sandbox")]
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{ErrorKind, Read},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
};
use tower_outbound_auth::{
    BoxError,
    paynet::{X_FIID, X_SIGNATURE, X_TIMESTAMP, signature},
    sandbox::{FIID, Fault, FaultKind, RejectionStyle, Sandbox, Stats},
};

type TestResult = Result<(), BoxError>;
type Edit = fn(&mut Request<Full<Bytes>>);

#[tokio::test]
async fn a_user_gets_from_a_token_to_a_report_that_is_there_once() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let answer = user.send(user.token_request(FORM)).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!((&answer.json()["token_type"], &answer.json()["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let token = answer.text("access_token");

    assert_eq!(user.send(user.types(&token)).await?.json()["success"], true);
    let report = user.send(user.signed(&token, Method::POST, DOWNLOAD, ORDER)).await?;
    let url = report.json()["data"]["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with(&format!("{}/files/", user.sandbox.download_origin())));
    assert_ne!(user.sandbox.download_origin(), user.sandbox.environment().api_origin());

    assert_eq!(user.send(request(Method::HEAD, &url, "")).await?.status, 405);
    let file = user.send(request(Method::GET, &url, "")).await?;
    assert_eq!((file.status, &file.headers[header::CONTENT_TYPE]), (StatusCode::OK, &"application/gzip".parse()?));
    let mut csv = String::new();
    GzDecoder::new(&file.body[..]).read_to_string(&mut csv)?;
    assert!(csv.starts_with("date,fiid,") && csv.contains("2026-01-31"), "{csv}");
    assert_eq!(user.send(request(Method::GET, &url, "")).await?.status, 410);
    assert_eq!(user.send(request(Method::GET, &format!("{url}x"), "")).await?.status, 404);

    let mut query = user.signed(&token, Method::POST, QUERY, r#"{"query":"{ banks }"}"#);
    query.headers_mut().insert(X_FIID, HeaderValue::from_static(FIID));
    assert!(user.send(query).await?.json()["data"].is_object());
    let seen = user.sandbox.stats();
    assert_eq!((seen.token_requests, seen.api_requests, seen.accepted), (1, 3, 3));
    assert_eq!((seen.rejected, seen.downloads, seen.credentials_leaked, seen.connections), (0, 1, 0, 2));
    Ok(())
}

#[tokio::test]
async fn a_user_learns_what_is_wrong_with_a_token_request() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let forms = [
        ("", 400, "invalid_request"),
        ("grant_type=client_credentials&client_id=client_123456789", 400, "invalid_request"),
        ("grant_type=password&client_id=client_123456789&client_secret=secret_abcdefghijklmnop", 400, UNSUPPORTED),
        ("grant_type=client_credentials&client_id=other&client_secret=secret_abcdefghijklmnop", 401, "invalid_client"),
        ("grant_type=client_credentials&client_id=client_123456789&client_secret=guess", 401, "invalid_client"),
        (&format!("{FORM}&client_id=client_123456789"), 400, "invalid_request"),
        (&format!("{FORM}&scope=a&scope=b"), 400, "invalid_request"),
        (&format!("{FORM}&note=100%"), 400, "invalid_request"),
    ];
    for (form, status, error) in forms {
        let answer = user.send(user.token_request(form)).await?;
        assert_eq!((answer.status.as_u16(), answer.text("error")), (status, error.to_owned()), "{form}");
        assert!(!answer.text("error_description").is_empty());
    }
    let edits: [Edit; 5] = [
        |request| drop(request.headers_mut().remove(header::ACCEPT)),
        |request| set(request, header::ACCEPT, "*/*"),
        |request| drop(request.headers_mut().remove(header::CONTENT_TYPE)),
        |request| set(request, header::CONTENT_TYPE, "application/json"),
        |request| set(request, header::AUTHORIZATION, "Basic Y2xpZW50OnNlY3JldA=="),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let mut request = user.token_request(FORM);
        edit(&mut request);
        let answer = user.send(request).await?;
        assert_eq!((answer.status.as_u16(), answer.text("error")), (400, "invalid_request".to_owned()), "edit {index}");
    }
    assert_eq!(user.sandbox.stats().token_requests, 13);

    let mut with_charset = user.token_request(FORM);
    set(&mut with_charset, header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8");
    assert_eq!(user.send(with_charset).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_secret_with_special_characters_must_be_form_encoded() -> TestResult {
    let user = User::of(Sandbox::builder().credentials("my client", "s&c+r%t=é").start().await?);
    let right = "grant_type=client_credentials&client_id=my+client&client_secret=s%26c%2Br%25t%3D%c3%A9";
    assert_eq!(user.send(user.token_request(right)).await?.status, 200);
    let raw = "grant_type=client_credentials&client_id=my+client&client_secret=s%26c+r%25t%3D%C3%A9";
    assert_eq!(user.send(user.token_request(raw)).await?.text("error"), "invalid_client");
    Ok(())
}

#[tokio::test]
async fn each_documented_rejection_comes_with_its_message() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    let cases: [(Edit, &str); 13] = [
        (|request| drop(request.headers_mut().remove(header::AUTHORIZATION)), FORBIDDEN),
        (|request| set(request, header::AUTHORIZATION, "Bearer unknown"), FORBIDDEN),
        (|request| drop(request.headers_mut().remove(X_FIID)), "X-Fiid is required"),
        (|request| set(request, X_FIID, "OTHER"), FORBIDDEN),
        (|request| drop(request.headers_mut().remove(X_TIMESTAMP)), "Timestamp is required"),
        (|request| drop(request.headers_mut().remove(X_SIGNATURE)), "Signature is required"),
        (|request| set(request, X_TIMESTAMP, "1700000000"), OUT_OF_RANGE),
        (|request| set(request, X_TIMESTAMP, "soon"), OUT_OF_RANGE),
        (|request| set(request, X_TIMESTAMP, &format!("+{}", now())), OUT_OF_RANGE),
        (|request| set(request, X_TIMESTAMP, &format!("0{}", now())), "Invalid signature"),
        (|request| set(request, X_SIGNATURE, &signature(&now().to_string(), "guess")), "Invalid signature"),
        (|request| upper_case(request, X_SIGNATURE), "Invalid signature"),
        (|request| twice(request, X_SIGNATURE), "the header x-signature was sent twice"),
    ];
    for (index, (edit, message)) in cases.into_iter().enumerate() {
        let mut request = user.signed(&token, Method::POST, QUERY, r#"{"query":"{ banks }"}"#);
        set(&mut request, X_FIID, FIID);
        edit(&mut request);
        let answer = user.send(request).await?;
        assert_eq!((answer.status.as_u16(), answer.text("message")), (400, message.to_owned()), "case {index}");
        assert_eq!(user.sandbox.stats().rejected, index as u64 + 1);
    }
    for name in [header::AUTHORIZATION, X_TIMESTAMP] {
        let mut request = user.types(&token);
        twice(&mut request, name.clone());
        assert_eq!(user.send(request).await?.text("message"), format!("the header {name} was sent twice"));
    }
    assert_eq!(user.sandbox.stats().accepted, 0);
    Ok(())
}

#[tokio::test]
async fn a_user_who_asks_for_401s_gets_them_for_tokens_alone() -> TestResult {
    let user = User::of(Sandbox::builder().rejection(RejectionStyle::Unauthorized401).start().await?);
    let answer = user.send(user.types("unknown")).await?;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers[header::WWW_AUTHENTICATE], r#"Bearer realm="paynet", error="invalid_token""#);
    assert!(answer.json().is_object());
    let mut stale = user.types(&user.token().await?);
    set(&mut stale, X_TIMESTAMP, "1700000000");
    assert_eq!(user.send(stale).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn the_signature_is_the_one_of_the_vendors_sample_code() -> TestResult {
    let user = User::of(Sandbox::builder().timestamp_window(Duration::MAX).start().await?);
    let mut request = user.types(&user.token().await?);
    set(&mut request, X_TIMESTAMP, "1700000000");
    set(&mut request, X_SIGNATURE, "8df6e1bcd4489b0be9f8a98dd01785727fde8a3d07c1b791690e9eb12dd3b8e6");
    assert_eq!(user.send(request).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn bad_orders_bad_paths_and_bad_methods_are_told_apart() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    let orders = [
        "no JSON",
        r#"{"report_type":"settlement","product":"duitnow_qr"}"#,
        r#"{"report_type":"","product":"duitnow_qr","date":"2026-01-31"}"#,
        r#"{"report_type":"settlement","product":"duitnow_qr","date":"31-01-2026"}"#,
        r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-13-01"}"#,
        r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31","fiid":"OTHER"}"#,
    ];
    for order in orders {
        let answer = user.send(user.signed(&token, Method::POST, DOWNLOAD, order)).await?;
        let json = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &json["success"], &json["error"]["code"]),
            (200, &json!(false), &json!("E0001"))
        );
    }
    assert_eq!(user.sandbox.stats().accepted, 6);
    let wrong = [(Method::GET, "/token", 405), (Method::POST, "/v1/reports/types", 405), (Method::GET, "/v3/x", 404)];
    for (method, path, status) in wrong {
        let answer = user.send(user.signed(&token, method, path, "")).await?;
        assert_eq!((answer.status.as_u16(), answer.json().is_object()), (status, true), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_server_clock_shows_in_date_and_window() -> TestResult {
    let user = User::of(Sandbox::builder().timestamp_window(Duration::from_secs(60)).start().await?);
    let token = user.token().await?;
    for offset in [3600, -3600, 30] {
        user.sandbox.set_clock_offset(offset);
        let api = user.send(user.types(&token)).await?;
        assert_near(api.date_offset(), offset);
        assert_near(user.send(user.token_request(FORM)).await?.date_offset(), offset);
        if offset == 30 {
            assert_eq!(api.status, 200);
        } else {
            assert_eq!((api.status.as_u16(), api.text("message")), (400, OUT_OF_RANGE.to_owned()));
        }
    }
    user.sandbox.set_clock_offset(3600);
    let elsewhere = user.send(request(Method::GET, user.sandbox.download_origin(), "")).await?;
    assert_near(elsewhere.date_offset(), 0);
    for extreme in [i64::MIN, i64::MAX] {
        user.sandbox.set_clock_offset(extreme);
        assert_eq!(user.send(user.types(&token)).await?.text("message"), OUT_OF_RANGE);
    }
    Ok(())
}

#[tokio::test]
async fn revoked_and_expired_tokens_are_refused() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    user.sandbox.revoke_tokens();
    assert_eq!(user.send(user.types(&token)).await?.text("message"), FORBIDDEN);
    assert_eq!(user.send(user.types(&user.token().await?)).await?.status, 200);

    let user = User::of(Sandbox::builder().token_lifetime(Duration::from_millis(1500)).start().await?);
    let answer = user.send(user.token_request(FORM)).await?;
    assert_eq!(answer.json()["expires_in"], 1.5);
    let token = answer.text("access_token");
    assert_eq!(user.send(user.types(&token)).await?.status, 200);
    let started = since_1970();
    while user.send(user.types(&token)).await?.status == 200 {
        assert!(passed_since(started) < Duration::from_secs(20), "the token does not expire");
    }
    assert_eq!(user.send(user.types(&token)).await?.text("message"), FORBIDDEN);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_hits_the_side_it_was_meant_for() -> TestResult {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let user = User::over(protocol, Sandbox::start().await?);
        let token = user.token().await?;
        let sides = [
            (Fault::token as fn(FaultKind) -> Fault, user.token_request(FORM), user.types(&token)),
            (Fault::api, user.types(&token), user.token_request(FORM)),
        ];
        for (fault, victim, bystander) in sides {
            let busy = StatusCode::SERVICE_UNAVAILABLE;
            user.sandbox.inject(fault(FaultKind::Status(StatusCode::IM_A_TEAPOT)).times(2));
            user.sandbox.inject(fault(FaultKind::Status(StatusCode::BAD_GATEWAY)).times(0));
            user.sandbox.inject(fault(FaultKind::RetryAfter(busy, Duration::from_millis(1500))));
            user.sandbox.inject(fault(FaultKind::Malformed));
            user.sandbox.inject(fault(FaultKind::WrongClock(-7200)));
            user.sandbox.inject(fault(FaultKind::Latency(Duration::from_millis(200))));
            user.sandbox.inject(fault(FaultKind::Reset));
            user.sandbox.inject(fault(FaultKind::CutOff));
            assert_eq!(user.send(bystander.clone()).await?.status, 200);

            assert_eq!(user.send(victim.clone()).await?.status, 418);
            assert_eq!(user.send(victim.clone()).await?.status, 418);
            let later = user.send(victim.clone()).await?;
            assert_eq!((later.status, &later.headers[header::RETRY_AFTER]), (busy, &"2".parse()?));
            let malformed = user.send(victim.clone()).await?;
            assert_eq!(malformed.status, 200);
            assert!(serde_json::from_slice::<Value>(&malformed.body).is_err());
            let misdated = user.send(victim.clone()).await?;
            assert_near(misdated.date_offset(), -7200);
            assert!(misdated.json().is_object());
            let started = since_1970();
            assert!(user.send(victim.clone()).await?.json().is_object());
            assert!(passed_since(started) >= Duration::from_millis(190));
            assert!(user.send(victim.clone()).await.is_err(), "reset");
            let head = user.client.request(victim.clone()).await?;
            assert!(head.headers().contains_key(header::CONTENT_LENGTH));
            assert!(head.into_body().collect().await.is_err(), "cut off");
            assert_eq!(user.send(victim).await?.status, 200);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_reset_and_a_cut_off_body_is_half_there() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let whole = user.send(user.token_request(FORM)).await?.body.len();
    user.sandbox.inject(Fault::token(FaultKind::Reset));
    let (received, end) = user.send_raw().await?;
    assert_eq!((received.as_str(), end), ("", Err(ErrorKind::ConnectionReset)));

    user.sandbox.inject(Fault::token(FaultKind::CutOff));
    let (received, end) = user.send_raw().await?;
    let (head, body) = received.split_once("\r\n\r\n").ok_or("no head")?;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains(&format!("content-length: {whole}")), "{head}");
    assert_eq!((body.len(), end), (whole / 2, Ok(())));
    Ok(())
}

#[tokio::test]
async fn a_credential_that_goes_astray_is_counted() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    user.sandbox.revoke_tokens();
    let (downloads, token_url) = (user.sandbox.download_origin(), user.sandbox.environment().token_url().to_owned());
    let file = format!("{downloads}/files/x");
    let leaks = [
        with(&file, header::AUTHORIZATION, &format!("Bearer {token}")),
        with(&file, X_TIMESTAMP, "1700000000"),
        with(&file, X_SIGNATURE, "00"),
        with(&file, X_FIID, FIID),
        request(Method::GET, &format!("{downloads}/files/{token}"), ""),
        request(Method::GET, &format!("{file}?key=secret%5Fabcdefghijklmnop"), ""),
        request(Method::GET, &format!("{}/nowhere?access_token={token}", user.sandbox.environment().api_origin()), ""),
        request(Method::POST, &format!("{token_url}?client_secret=secret_abcdefghijklmnop"), ""),
        with(&token_url, header::AUTHORIZATION, "bearer some"),
        with(&token_url, X_SIGNATURE, "00"),
    ];
    for (index, leak) in leaks.into_iter().enumerate() {
        user.send(leak).await?;
        assert_eq!(user.sandbox.stats().credentials_leaked, index as u64 + 1, "leak {index}");
    }
    for harmless in [request(Method::GET, &file, ""), user.token_request(FORM), user.types(&token)] {
        user.send(harmless).await?;
    }
    assert_eq!(user.sandbox.stats().credentials_leaked, 10);
    Ok(())
}

#[tokio::test]
async fn cleared_faults_harm_nobody() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    user.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::BAD_GATEWAY)).times(2));
    user.sandbox.inject(Fault::api(FaultKind::Malformed));
    assert_eq!(user.send(user.token_request(FORM)).await?.status, 502);
    user.sandbox.clear_faults();
    let token = user.token().await?;
    assert_eq!(user.send(user.types(&token)).await?.headers[header::CONTENT_TYPE], "application/json");
    Ok(())
}

#[tokio::test]
async fn http_2_with_prior_knowledge_works_on_both_origins() -> TestResult {
    let user = User::over(Protocol::Http2, Sandbox::start().await?);
    let answer = user.client.request(user.token_request(FORM)).await?;
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, http::Version::HTTP_2));
    let answer = user.client.request(request(Method::GET, user.sandbox.download_origin(), "")).await?;
    assert_eq!((answer.status(), answer.version()), (StatusCode::NOT_FOUND, http::Version::HTTP_2));
    assert_eq!(user.sandbox.stats().connections, 2);
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_sandbox() -> TestResult {
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    let user = User::over(Protocol::Http2, Sandbox::start().await?);
    let (origin, downloads) = (user.address(), user.sandbox.download_origin().trim_start_matches("http://").to_owned());
    user.sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_secs(3600))));
    let mut idle = TcpStream::connect(&origin).await?;
    let waiting = tokio::spawn(user.client.request(user.token_request(FORM)));
    while user.sandbox.stats().token_requests == 0 {
        tokio::task::yield_now().await;
    }
    let User { sandbox, client } = user;
    drop(sandbox);

    assert!(waiting.await?.is_err(), "an answer from a dropped sandbox");
    assert_eq!(idle.read(&mut [0]).await?, 0, "the idle connection is still open");
    for address in [origin, downloads] {
        assert_eq!(TcpStream::connect(&address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    drop(client);
    let started = since_1970();
    while Handle::current().metrics().num_alive_tasks() > tasks_before {
        assert!(passed_since(started) < Duration::from_secs(20), "tasks are left");
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_rotation_reaches_the_server_and_spares_issued_tokens() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    user.sandbox.credentials().rotate("new_secret");
    assert_eq!(user.send(user.token_request(FORM)).await?.text("error"), "invalid_client");
    let new_form = FORM.replace("secret_abcdefghijklmnop", "new_secret");
    assert_eq!(user.send(user.token_request(&new_form)).await?.status, 200);
    assert_eq!(user.send(user.types(&token)).await?.text("message"), "Invalid signature");
    let mut request = user.types(&token);
    let timestamp = now().to_string();
    set(&mut request, X_SIGNATURE, &signature(&timestamp, "new_secret"));
    set(&mut request, X_TIMESTAMP, &timestamp);
    assert_eq!(user.send(request).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn debug_output_holds_no_secret() -> TestResult {
    let builder = Sandbox::builder().credentials("my_client", "planted");
    assert!(!format!("{builder:?}").contains("planted"));
    let user = User::of(builder.start().await?);
    let token = user
        .send(user.token_request("grant_type=client_credentials&client_id=my_client&client_secret=planted"))
        .await?
        .text("access_token");
    let debug = format!("{:?}", user.sandbox);
    assert!(debug.contains("my_client") && !debug.contains("planted") && !debug.contains(&token), "{debug}");
    Ok(())
}

#[test]
fn public_types_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<Sandbox>();
    shared::<tower_outbound_auth::sandbox::SandboxBuilder>();
    shared::<Fault>();
    shared::<Stats>();
}

/// Somebody with a sandbox and an HTTP client that knows nothing of it.
struct User {
    sandbox: Sandbox,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Http1,
    Http2,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl User {
    fn of(sandbox: Sandbox) -> Self {
        Self::over(Protocol::Http1, sandbox)
    }

    fn over(protocol: Protocol, sandbox: Sandbox) -> Self {
        let client = Client::builder(TokioExecutor::new()).http2_only(protocol == Protocol::Http2).build_http();
        Self { sandbox, client }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, BoxError> {
        let (head, body) = self.client.request(request).await?.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }

    /// A token request over a connection of its own: what came, and how the connection ended.
    async fn send_raw(&self) -> Result<(String, Result<(), ErrorKind>), BoxError> {
        let mut connection = TcpStream::connect(self.address()).await?;
        let head = "POST /token HTTP/1.1\r\nHost: sandbox\r\nAccept: application/json";
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let request = format!("{head}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{FORM}", FORM.len());
        connection.write_all(request.as_bytes()).await?;
        let mut received = Vec::new();
        let end = connection.read_to_end(&mut received).await.map(drop).map_err(|error| error.kind());
        Ok((String::from_utf8(received)?, end))
    }

    fn address(&self) -> String {
        self.sandbox.environment().api_origin().trim_start_matches("http://").to_owned()
    }

    async fn token(&self) -> Result<String, BoxError> {
        Ok(self.send(self.token_request(FORM)).await?.text("access_token"))
    }

    fn token_request(&self, form: &str) -> Request<Full<Bytes>> {
        let mut request = request(Method::POST, self.sandbox.environment().token_url(), form);
        set(&mut request, header::ACCEPT, "application/json");
        set(&mut request, header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        request
    }

    fn types(&self, token: &str) -> Request<Full<Bytes>> {
        self.signed(token, Method::GET, "/v1/reports/types", "")
    }

    fn signed(&self, token: &str, method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
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
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {:?}", self.body)).to_owned()
    }

    /// How many seconds `Date` is ahead of this machine's clock.
    fn date_offset(&self) -> i64 {
        let date = httpdate::parse_http_date(self.headers[header::DATE].to_str().unwrap()).unwrap();
        whole_seconds(date.duration_since(SystemTime::UNIX_EPOCH).unwrap()) - now()
    }
}

fn request(method: Method, uri: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(uri).body(Full::from(body.to_owned())).unwrap()
}

fn with(uri: &str, name: HeaderName, value: &str) -> Request<Full<Bytes>> {
    let mut request = request(Method::GET, uri, "");
    set(&mut request, name, value);
    request
}

fn set(request: &mut Request<Full<Bytes>>, name: HeaderName, value: &str) {
    request.headers_mut().insert(name, value.parse().unwrap());
}

fn twice(request: &mut Request<Full<Bytes>>, name: HeaderName) {
    let value = request.headers()[&name].clone();
    request.headers_mut().append(name, value);
}

fn upper_case(request: &mut Request<Full<Bytes>>, name: HeaderName) {
    let value = request.headers()[&name].to_str().unwrap().to_uppercase();
    set(request, name, &value);
}

fn now() -> i64 {
    whole_seconds(since_1970())
}

fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}

fn passed_since(start: Duration) -> Duration {
    since_1970().saturating_sub(start)
}

fn whole_seconds(duration: Duration) -> i64 {
    duration.as_secs().try_into().unwrap()
}

/// Ten seconds are more than an exchange takes, and less than any clock here is wrong by.
fn assert_near(actual: i64, expected: i64) {
    assert!((actual - expected).abs() <= 10, "{actual} s instead of {expected} s");
}

const SECRET: &str = "secret_abcdefghijklmnop";
const FORM: &str = "grant_type=client_credentials&client_id=client_123456789&client_secret=secret_abcdefghijklmnop";
const DOWNLOAD: &str = "/v1/reports/download";
const QUERY: &str = "/v2/reports/query";
const ORDER: &str = r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31","window":"1"}"#;
const FORBIDDEN: &str = "Access to this resource is forbidden";
const OUT_OF_RANGE: &str = "Timestamp not within valid range";
const UNSUPPORTED: &str = "unsupported_grant_type";

//! What a grant sends and how it reads the response, as the second edition has it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may panic")]

#[path = "support/token_server.rs"]
mod token_server;

use std::{error::Error, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST,
        LOCATION, RETRY_AFTER, TRANSFER_ENCODING, USER_AGENT,
    },
};
use http_body_util::Full;
use serde_json::{Value, json};
use token_server::{GOOD, TOKEN_URL, builder, endpoint, fetch, is_malformed, read, read_json, reply};
use tower::service_fn;
use tower_outbound_auth::{
    AuthError, BoxError, Credentials, ErrorKind,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    token::AccessToken,
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SECRET: &str = "p@ss word/0123456789";

/// The request that these settings lead to.
async fn request(builder: ClientCredentialsGrantBuilder) -> Request<Bytes> {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    fetch(&builder.transport(transport).build().unwrap()).await.unwrap();
    let mut asked = asked.lock().unwrap();
    asked.remove(0)
}

/// The error of a response to a client with [`SECRET`].
async fn error(builder: ClientCredentialsGrantBuilder, status: u16, body: &Value) -> AuthError {
    let response = reply(status, &[], body.to_string());
    let (_, transport) = endpoint(move |_| Ok(response.clone()));
    fetch(&builder.transport(transport).build().unwrap()).await.unwrap_err()
}

fn secretive() -> ClientCredentialsGrantBuilder {
    ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id/1", SECRET))
}

fn refused(builder: ClientCredentialsGrantBuilder, advice: &str) {
    let Err(error) = builder.transport(endpoint(|_| Ok(reply(200, &[], GOOD))).1).build() else {
        panic!("built, though it should be refused: {advice}");
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(advice), "{error} should say: {advice}");
}

#[tokio::test]
async fn o1_the_headers_of_a_token_request_are_those_of_the_guarantee() {
    let request = request(builder()).await;
    let version = env!("CARGO_PKG_VERSION");
    for (name, value) in [
        (ACCEPT, "application/json"),
        (ACCEPT_ENCODING, "identity"),
        (USER_AGENT, &format!("tower-outbound-auth/{version}")),
        (CONTENT_TYPE, "application/x-www-form-urlencoded"),
    ] {
        assert_eq!(request.headers()[name], *value);
    }
    assert_eq!(request.headers().len(), 4);
}

#[tokio::test]
async fn o1_a_header_is_added_or_replaces_the_default_and_is_sensitive() {
    let value = HeaderValue::from_static;
    let builder = builder()
        .header(USER_AGENT, value("reports/2.1"))
        .header(API_KEY, value("first"))
        .header(API_KEY, value("second"))
        .header(AUTHORIZATION, value("Custom x"));
    let request = request(builder).await;
    for (name, expected) in [(USER_AGENT, "reports/2.1"), (API_KEY, "second"), (AUTHORIZATION, "Custom x")] {
        let values: Vec<_> = request.headers().get_all(&name).iter().collect();
        assert_eq!(values, [expected]);
        assert!(values[0].is_sensitive(), "{name}");
    }
}

#[test]
fn o1_a_header_that_the_grant_sets_itself_is_refused() {
    let value = || HeaderValue::from_static("v4lue");
    for name in [CONTENT_TYPE, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, CONNECTION] {
        refused(builder().header(name.clone(), value()), &format!("`header`: {name} is not yours to set"));
    }
    for method in [ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        refused(builder().client_auth(method).header(AUTHORIZATION, value()), "`header`: authorization is used");
    }
    let many = (0..101).map(|number| HeaderName::try_from(format!("x-{number}")).unwrap());
    refused(many.fold(builder(), |builder, name| builder.header(name, value())), "more than 100");
}

#[tokio::test]
async fn o1_the_grant_type_can_be_another_and_never_none() {
    let request = request(builder().grant_type("account_credentials").param("account_id", "17")).await;
    let expected = "grant_type=account_credentials&client_id=id&client_secret=key&account_id=17";
    assert_eq!(request.body(), expected);
    refused(builder().grant_type(""), "`grant_type` is empty");
    refused(builder().param("grant_type", "x"), "use `grant_type` to change it");
}

#[tokio::test]
async fn o1_a_json_body_has_the_same_parameters() {
    let settings = |builder: ClientCredentialsGrantBuilder| {
        builder.json_body().scope("a").scope("b").param("x\"y", "\u{e9}\n").resource("urn:1").resource("urn:2")
    };
    let by_body = request(settings(builder())).await;
    assert_eq!(by_body.headers()[CONTENT_TYPE], "application/json");
    let mut expected = json!({
        "grant_type": "client_credentials", "client_id": "id", "client_secret": "key", "scope": "a b", "x\"y": "\u{e9}\n",
        "resource": ["urn:1", "urn:2"],
    });
    assert_eq!(serde_json::from_slice::<Value>(by_body.body()).unwrap(), expected);

    let by_header = request(settings(builder()).client_auth(ClientAuth::Basic)).await;
    assert_eq!(by_header.headers()[AUTHORIZATION], "Basic aWQ6a2V5");
    let expected_members = expected.as_object_mut().unwrap();
    expected_members.remove("client_id");
    expected_members.remove("client_secret");
    assert_eq!(
        serde_json::from_slice::<Value>(by_header.body()).unwrap(),
        expected,
        "no credentials in a second place"
    );
}

#[tokio::test]
async fn o1_credentials_without_a_secret_are_for_certificates_alone() {
    let without = || ClientCredentialsGrant::builder(TOKEN_URL, Credentials::without_secret("id"));
    let request = request(without().client_auth(ClientAuth::Certificate)).await;
    assert_eq!(request.body(), "grant_type=client_credentials&client_id=id");
    for method in [ClientAuth::Body, ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        refused(without().client_auth(method), "the client secret is empty");
        refused(without().client_auth(method), "or ClientAuth::Certificate");
    }
}

#[tokio::test]
async fn o2_a_redirect_names_the_origin_it_points_to_and_no_more() {
    for (location, named) in [
        ("https://login2.example.com/a/token?code=x", " to https://login2.example.com ("),
        ("http://user:pass@login2.example.com:8080/", " to http://login2.example.com:8080 ("),
        ("/elsewhere/token", " redirects ("),
        ("mailto:x", " redirects ("),
        ("https://p%40ss.example/", " redirects ("),
        ("https://aWQ6a2V5.example/", " redirects ("),
    ] {
        let told = read(307, &[(LOCATION, location)], "").await.unwrap_err().to_string();
        assert!(told.contains(named) && told.contains("(307)"), "{told}");
        assert!(!told.contains("code") && !told.contains("pass") && !told.contains("elsewhere"), "{told}");
    }
}

#[tokio::test]
async fn o3_a_member_that_is_not_needed_never_costs_the_token() {
    for body in [
        "\u{feff}{\"access_token\":\"t\"}",
        r#"{"access_token":5,"access_token":"t","token_type":"mac","token_type":"bearer"}"#,
        r#"{"access_token":"t","scope":5,"expires_in":{},"token_type":null}"#,
        r#"{"access_token":"t","error_description":5,"error_uri":[],"x":1e999}"#,
        r#"{"access_token":"t","error":""}"#,
        r#"{"access_token":"t","error":null}"#,
        r#"{"access_token":"t","error":{}}"#,
        r#"{"access_token":"t","error":false}"#,
        r#"{"\u0061ccess_token":"\u0074"}"#,
    ] {
        assert_eq!(read(200, &[], body).await.unwrap().expose_secret(), "t", "{body}");
    }
    let nested = format!(r#"{{"x":{}{},"access_token":"t"}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(read(200, &[], nested).await.unwrap().expose_secret(), "t");
    assert_eq!(read(200, &[], &b"{\"access_token\":\"t\",\"x\":\"caf\xe9\"}"[..]).await.unwrap().expose_secret(), "t");
    assert!(is_malformed(&read(200, &[], &b"{\"access_token\":\"t\xe9\"}"[..]).await));
}

#[tokio::test]
async fn o3_a_scope_may_be_a_list() {
    let scope = async |scope: Value| {
        let token = read_json(&json!({ "access_token": "t", "scope": scope })).await.unwrap();
        token.scope().map(str::to_owned)
    };
    assert_eq!(scope(json!("a b")).await.as_deref(), Some("a b"));
    assert_eq!(scope(json!(["a", "b", "c\"d"])).await.as_deref(), Some("a b c\"d"));
    for odd in [json!(5), json!(["a", 5]), json!({ "a": "b" }), json!(null)] {
        assert_eq!(scope(odd.clone()).await, None, "{odd}");
    }
}

#[tokio::test]
async fn o3_a_token_type_that_is_accepted_is_as_good_as_bearer() {
    let of = async |accepted: Option<&str>, kind: &str| {
        let body = json!({ "access_token": "t0ken-t0ken", "token_type": kind }).to_string();
        let (_, transport) = endpoint(move |_| Ok(reply(200, &[], body.clone())));
        let builder = accepted.into_iter().fold(builder(), ClientCredentialsGrantBuilder::accept_token_type);
        fetch(&builder.transport(transport).build().unwrap()).await
    };
    for (accepted, kind) in [(Some("BearerToken"), "bearertoken "), (Some(" N_A"), "n_a"), (Some("x"), " Bearer")] {
        assert_eq!(of(accepted, kind).await.unwrap().expose_secret(), "t0ken-t0ken", "{kind}");
    }
    for (kind, is_named) in [
        ("mac", true),
        ("urn:example:type", true),
        ("t0ken-t0ken", false),
        ("two words", false),
        (&"x".repeat(65), false),
    ] {
        let told = of(Some("BearerToken"), kind).await.unwrap_err().to_string();
        assert_eq!(told.contains(kind), is_named, "{told}");
        assert!(told.contains("`accept_token_type`"), "{told}");
    }
}

#[tokio::test]
async fn o3_what_is_wrong_with_a_response_is_told_apart() {
    let told = async |headers: &[(HeaderName, &str)], body: String| {
        let read = read(200, headers, body).await;
        assert!(is_malformed(&read));
        read.unwrap_err().to_string()
    };
    let token = |text: &str| json!({ "access_token": text }).to_string();
    assert!(told(&[], token("")).await.contains("is empty"));
    assert!(told(&[], token(&"x".repeat(16 * 1024 + 1))).await.contains("is longer than 16 KiB"));
    assert!(told(&[], json!({}).to_string()).await.contains("has no access_token"));
    assert!(told(&[], " ".repeat(64 * 1024 + 1)).await.contains("is longer than 64 KiB"));
    assert!(told(&[], "<html>".to_owned()).await.contains("check the token URL"));
    for (coding, shown) in [("gzip", "content coding gzip"), ("gzip, br", "content coding gzip, br")] {
        assert!(told(&[(CONTENT_ENCODING, coding)], "\u{1f}".to_owned()).await.contains(shown));
    }
    for coding in ["identity", "<gzip>", ""] {
        assert!(told(&[(CONTENT_ENCODING, coding)], String::new()).await.contains("is not a JSON object"));
    }
    // A coding that is named and was not applied is no reason to refuse a token.
    assert!(read(200, &[(CONTENT_ENCODING, "utf-8")], GOOD).await.is_ok());
}

#[tokio::test]
async fn o5_the_kind_of_an_error_is_that_of_its_code_or_else_of_its_status() {
    use ErrorKind::{Denied, Malformed, Unavailable};
    let refusals = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let kind = async |status, body: &str| read(status, &[], body.to_owned()).await.unwrap_err().kind();
    let code = |code: &str| json!({ "error": code }).to_string();
    for refusal in refusals {
        for status in [200, 400, 401, 403, 404] {
            assert_eq!(kind(status, &code(refusal)).await, Denied, "{status} {refusal}");
        }
    }
    for trouble in ["temporarily_unavailable", "server_error", "slow_down"] {
        for status in [200, 302, 400, 401, 403, 429, 500, 600] {
            assert_eq!(kind(status, &code(trouble)).await, Unavailable, "{status} {trouble}");
        }
    }
    for (status, body, expected) in [
        (401, "", Denied),
        (401, "<html>", Denied),
        (401, r#"{"error":"Unauthorized"}"#, Denied),
        (401, r#"{"error":"access_denied"}"#, Unavailable),
        (400, "", Unavailable),
        (400, r#"{"error":"access_denied"}"#, Unavailable),
        (400, r#"{"error":"INVALID_CLIENT"}"#, Unavailable),
        (403, "<html>", Unavailable),
        (404, "", Unavailable),
        (421, "", Unavailable),
        (503, r#"{"error":"invalid_client"}"#, Unavailable),
        (200, r#"{"error":"odd","access_token":"t"}"#, Unavailable),
        (302, r#"{"error":"invalid_client"}"#, Malformed),
        (600, "", Malformed),
    ] {
        assert_eq!(kind(status, body).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn o5_a_description_is_for_the_accessor_and_debug_alone() {
    let description = "AADSTS7000215: the client's key is wrong! [#1]";
    for status in [200, 400, 401, 503] {
        let body = json!({ "error": "invalid_client", "error_description": description });
        let error = error(secretive(), status, &body).await;
        assert_eq!(error.oauth_error_description(), Some(description));
        assert!(!error.to_string().contains("AADSTS") && format!("{error:?}").contains("AADSTS"), "{error:?}");
    }
    let only = error(secretive(), 401, &json!({ "error_description": "x".repeat(512) })).await;
    assert_eq!(only.oauth_error_description().map(str::len), Some(512));
    for bad in [&*"x".repeat(513), "", "a\"b", "a\\b", "a\nb", "caf\u{e9}"] {
        let error = error(secretive(), 400, &json!({ "error": "invalid_client", "error_description": bad })).await;
        assert_eq!((error.oauth_error(), error.oauth_error_description()), (Some("invalid_client"), None), "{bad}");
    }
}

#[tokio::test]
async fn o5_a_description_that_repeats_a_credential_is_dropped() {
    let builder =
        || secretive().param("password", "hunter2-hunter2").header(API_KEY, HeaderValue::from_static("h3ader-key"));
    for echo in [
        SECRET,
        "P@SS WORD/0123456789",
        "p@ss w",
        "p%40ss+word%2f0123456789",
        "p%40ss%20word",
        &STANDARD.encode(format!("id/1:{SECRET}")),
        &STANDARD.encode("id%2F1:p%40ss+word%2F0123456789"),
        "hunter2-hunter2",
        "h3ader-key",
    ] {
        let body = json!({ "error": "invalid_client", "error_description": format!("no client has {echo}.") });
        let error = error(builder(), 400, &body).await;
        assert_eq!((error.oauth_error(), error.oauth_error_description()), (Some("invalid_client"), None), "{echo}");
        assert!(!format!("{error:?}{:?}", error.source()).contains(echo), "{error:?}");
    }
    let body = json!({ "error": "x", "error_description": "a t0ken-t0ken", "access_token": "t0ken-t0ken" });
    assert_eq!(error(builder(), 200, &body).await.oauth_error_description(), None);
    let body = json!({ "error": "x", "error_description": "id/1: p@ss is not it" });
    assert!(error(builder(), 400, &body).await.oauth_error_description().is_some());
}

#[tokio::test]
async fn o5_a_code_that_looks_like_the_secret_is_kept_if_a_standard_has_it() {
    let with = |secret: &str| ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id", secret.to_owned()));
    let code = async |secret, code| {
        let error = error(with(secret), 400, &json!({ "error": code })).await;
        error.oauth_error().map(str::to_owned)
    };
    assert_eq!(code("invalid_client", "invalid_client").await.as_deref(), Some("invalid_client"));
    assert_eq!(code("odd_secret", "an_odd_secret").await, None);
    assert_eq!(code("odd_secret", "an_odd_thing").await.as_deref(), Some("an_odd_thing"));
}

#[tokio::test]
async fn t8_a_retry_after_of_more_than_a_day_is_ignored() {
    for (asked, expected) in [("86400", Some(Duration::from_secs(86_400))), ("86401", None), ("1700000000", None)] {
        let error = read(429, &[(RETRY_AFTER, asked)], "").await.unwrap_err();
        assert_eq!(error.retry_after(), expected, "{asked}");
    }
}

#[tokio::test]
async fn other_members_of_a_response_are_fields_of_the_token() {
    let body = r#"{"access_token":"t","token_type":"Bearer","expires_in":60,"scope":"a","refresh_token":"r","id_token":"i",
        "instance_url":"https:\/\/eu7.example.com","issued_at":1700000000.10,"n":-5,"x":true,"y":null,"z":["a"]}"#;
    let token = read(200, &[], body).await.unwrap();
    for (name, value) in [("instance_url", "https://eu7.example.com"), ("issued_at", "1700000000.10"), ("n", "-5")] {
        assert_eq!(token.response_field(name), Some(value));
    }
    let absent =
        ["access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token", "x", "y", "z", "none"];
    assert!(absent.iter().all(|name| token.response_field(name).is_none()));
    assert!(!format!("{token:?}").contains("eu7"), "{token:?}");
    let token = AccessToken::new("t", None).unwrap().with_response_field("a", "1").with_response_field("a", "2");
    assert_eq!((token.response_field("a"), token.clone().response_field("a")), (Some("2"), Some("2")));
}

#[tokio::test]
async fn t14_one_token_request_knows_one_secret_though_it_is_rotated_meanwhile() {
    let credentials = Credentials::new("id", "first-secret");
    let rotated = credentials.clone();
    let transport = service_fn(move |request: Request<Full<Bytes>>| {
        rotated.rotate("second-secret");
        drop(request);
        let body = json!({ "error": "invalid_client", "error_description": "not first-secret" }).to_string();
        async move { Ok::<_, BoxError>(Response::builder().status(400).body(Full::<Bytes>::from(body)).unwrap()) }
    });
    let grant = ClientCredentialsGrant::builder(TOKEN_URL, credentials).transport(transport).build().unwrap();
    let error = fetch(&grant).await.unwrap_err();
    assert_eq!(
        (error.oauth_error(), error.oauth_error_description()),
        (Some("invalid_client"), None),
        "an echo all the same"
    );
}

#[cfg(feature = "tracing")]
mod traces {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn t7_a_lifetime_that_means_nothing_is_told_and_one_that_is_missing_is_not() {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let told = async |lifetime: Value| {
            log.0.lock().unwrap().clear();
            read_json(&json!({ "access_token": "t", "expires_in": lifetime })).await.unwrap();
            String::from_utf8(log.0.lock().unwrap().clone())
                .unwrap()
                .contains("token lifetime unusable, default assumed")
        };
        for odd in [json!("soon"), json!(0), json!(-1), json!([60])] {
            assert!(told(odd.clone()).await, "{odd}");
        }
        for usual in [json!(null), json!(60), json!("60"), json!(1e300)] {
            assert!(!told(usual.clone()).await, "{usual}");
        }
    }
}

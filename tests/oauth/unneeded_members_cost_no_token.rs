//! Members of a token response: what is needed is checked, what is not never costs the token.

use http::{HeaderName, header::CONTENT_ENCODING};
use serde_json::{Value, json};
use tower_outbound_auth::{ErrorKind, oauth::ClientCredentialsGrantBuilder, token::AccessToken};

use crate::support::token_server::{GOOD, builder, endpoint, fetch, is_malformed, read, read_json, reply};

use ErrorKind::{Denied, Malformed, Unavailable};

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
        r#"{"access_token":"t","error":[]}"#,
        r#"{"access_token":"t","error":false}"#,
        r#"{"access_token":"t","error":0}"#,
        r#"{"access_token":"t","error":-0.0}"#,
        r#"{"access_token":"t","error":" "}"#,
        r#"{"access_token":"t","token_type":7,"token_type":3}"#,
        "{\"access_token\":\"t\",\"message\":\"two\r\n\tlines\"}",
        r#"{"\u0061ccess_token":"\u0074"}"#,
    ] {
        assert_eq!(read(200, &[], body).await.unwrap().expose_secret(), "t", "{body}");
    }
    let nested = format!(r#"{{"x":{}{},"access_token":"t"}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(read(200, &[], nested).await.unwrap().expose_secret(), "t");
    assert_eq!(read(200, &[], &b"{\"access_token\":\"t\",\"x\":\"caf\xe9\"}"[..]).await.unwrap().expose_secret(), "t");
    for bad in [&b"{\"access_token\":\"t\xe9\"}"[..], b"{\"access_token\":\"t\n\"}"] {
        assert!(is_malformed(&read(200, &[], bad).await), "what cannot be sent is no token");
    }
}

#[tokio::test]
async fn o5_a_member_that_is_not_needed_never_costs_the_code_of_a_refusal() {
    for rest in [
        &b"\"error_description\":\"le client caf\xe9 est inconnu\""[..],
        b"\"error_description\":\"\xff\xfe\"",
        b"\"error_description\":\"two\r\nlines\"",
        b"\"error_description\":[1],\"error_uri\":null",
        b"\"error_description\":\"\\ud800\"",
        b"\"timestamp\":1e999,\"status\":\"401\"",
        b"\"scope\":{\"a\":[]},\"token_type\":5,\"expires_in\":\"soon\"",
    ] {
        for before in ["{", "\u{feff}{", "{\"error\":5,"] {
            let body = [before.as_bytes(), b"\"error\":\"invalid_client\",", rest, b"}"].concat();
            for status in [400, 401, 200] {
                let error = read(status, &[], body.clone()).await.unwrap_err();
                let told = (error.kind(), error.oauth_error(), error.oauth_error_description());
                let text = String::from_utf8_lossy(&body);
                assert_eq!(told, (ErrorKind::Denied, Some("invalid_client"), None), "{status} {text}");
            }
        }
    }
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
    for coding in ["identity", "<gzip>", ""] {
        assert!(told(&[(CONTENT_ENCODING, coding)], String::new()).await.contains("is not a JSON object"));
    }
    // A coding that is named and was not applied is no reason to refuse a token.
    assert!(read(200, &[(CONTENT_ENCODING, "utf-8")], GOOD).await.is_ok());
}

#[tokio::test]
async fn o1_a_content_coding_that_was_not_asked_for_is_named_whatever_the_status() {
    let coded = &b"\x1f\x8b\x08\x00\x00"[..];
    for coding in ["gzip", "GZIP", "br", "x-gzip", "deflate, gzip", "zstd"] {
        for (status, kind) in [(200, Malformed), (400, Unavailable), (401, Denied), (404, Unavailable)] {
            let error = read(status, &[(CONTENT_ENCODING, coding)], coded).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{status} {coding}");
            let told = error.to_string();
            assert!(
                told.contains(&format!("the content coding {coding}, although `identity` was asked for")),
                "{told}"
            );
            assert!(told.ends_with("put a decompression layer into `transport`"), "{told}");
        }
    }
    // Named, and not there.
    let refusal = read(401, &[(CONTENT_ENCODING, "gzip")], r#"{"error":"invalid_client"}"#).await.unwrap_err();
    assert_eq!(refusal.to_string(), "the authorization server refused the token request (401): invalid_client");
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
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(log.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let told = async |lifetime: Value| {
            log.0.lock().unwrap().clear();
            read_json(&json!({ "access_token": "t", "expires_in": lifetime })).await.unwrap();
            String::from_utf8(log.0.lock().unwrap().clone())
                .unwrap()
                .contains("token lifetime unusable, default assumed")
        };
        // Another test may have met the event first, in a thread without a subscriber, which is remembered.
        told(json!("soon")).await;
        tracing::callsite::rebuild_interest_cache();
        for odd in ["soon", "", "0", "3600s", "-1", "2026-11-28T13:00:00Z"].map(|odd| json!(odd)) {
            assert!(told(odd.clone()).await, "{odd}");
        }
        for odd in [json!(0), json!(-1), json!([60]), json!(true), json!({})] {
            assert!(told(odd.clone()).await, "{odd}");
        }
        for usual in [json!(null), json!(60), json!("60"), json!(1e300)] {
            assert!(!told(usual.clone()).await, "{usual}");
        }
    }
}

//! What an error of the token endpoint tells: its code, its description, and nothing that repeats a credential.

use std::error::Error;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header::LOCATION};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::service_fn;
use tower_outbound_auth::{
    AuthError, BoxError, Credentials,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
};

use crate::support::token_server::{TOKEN_URL, endpoint, fetch, read, reply};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SECRET: &str = "p@ss word/0123456789";

/// The error of a response to a client with [`SECRET`].
async fn error(builder: ClientCredentialsGrantBuilder, status: u16, body: &Value) -> AuthError {
    let response = reply(status, &[], body.to_string());
    let (_, transport) = endpoint(move |_| Ok(response.clone()));
    fetch(&builder.transport(transport).build().unwrap()).await.unwrap_err()
}

fn secretive() -> ClientCredentialsGrantBuilder {
    ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id/1", SECRET))
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

//! What an error of the token endpoint tells: its code, its description, and nothing that repeats a credential.

use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header::LOCATION};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::service_fn;
use tower_outbound_auth::{
    AuthError, BoxError, Credentials,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    token::{AccessToken, FetchRequest, TokenSource},
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

/// What becomes of a code and of a description that repeat this.
async fn told(builder: ClientCredentialsGrantBuilder, echo: &str) -> [bool; 2] {
    let body = json!({ "error": echo, "error_description": format!("wrong: {echo}.") });
    let error = error(builder, 400, &body).await;
    let shown = format!("{error} {error:?} {:?}", error.source());
    let told = [error.oauth_error().is_some(), error.oauth_error_description().is_some()];
    assert_eq!(shown.contains(echo), told.contains(&true), "{shown}");
    told
}

#[tokio::test]
async fn o5_neither_a_code_nor_a_description_repeats_the_secret_in_any_form() {
    // With all that is made of it in letters that a code may have.
    let with =
        |id: &str, secret: &str| ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new(id, secret.to_owned()));
    let secret = "hunter_two_three";
    for (echo, expected) in [
        (secret, [false, false]),
        ("hunter", [false, false]),
        ("hunter_two", [false, false]),
        ("not_hunter_two_but_x", [false, false]),
        ("hun", [false, true]),
        ("the_secret", [true, true]),
    ] {
        assert_eq!(told(with("id", secret), echo).await, expected, "{echo}");
    }
    for echo in [
        STANDARD.encode(secret),
        STANDARD.encode(format!("id:{secret}")),
        STANDARD.encode(format!("id:{secret}")).to_lowercase(),
        STANDARD.encode(format!("a longer text with {secret} in it")),
        hex::encode(secret),
        "hunter%5Ftwo%5Fthree".to_owned(),
        "%68unter_two".to_owned(),
        "HUNTER_TWO_THREE".to_owned(),
    ] {
        assert_eq!(told(with("id", secret), &echo).await, [false, false], "{echo}");
    }
    for (id, secret) in [("id", "p w d + 1"), ("id", "a/b=c&d?e")] {
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        assert_eq!(told(with(id, secret), &form).await, [false, false], "{form}");
        assert_eq!(told(with(id, secret), &form.replace('+', "%20")).await, [false, false], "{form}");
    }
}

/// A grant whose endpoint issues this token, and from the second time on answers with what is set.
fn once_well(credentials: &Credentials) -> (Arc<Mutex<Value>>, ClientCredentialsGrant) {
    let refusal = Arc::new(Mutex::new(Value::Null));
    let answer = Arc::clone(&refusal);
    let (_, transport) = endpoint(move |number| {
        let answer = if number == 0 {
            json!({ "access_token": "issued_token_abcdefgh" })
        } else {
            answer.lock().unwrap().clone()
        };
        Ok(reply(if number == 0 { 200 } else { 400 }, &[], answer.to_string()))
    });
    let grant = ClientCredentialsGrant::builder(TOKEN_URL, credentials.clone()).transport(transport);
    (refusal, grant.build().unwrap())
}

#[tokio::test]
async fn o5_neither_repeats_an_earlier_secret_or_an_access_token() {
    let credentials = Credentials::new("id", "first_secret");
    let (refusal, grant) = once_well(&credentials);
    fetch(&grant).await.unwrap();
    credentials.rotate("second_secret");
    for (echo, told) in [
        ("first_secret", false),
        ("first_", false),
        ("FIRST_SECRET", false),
        ("second_secret", false),
        ("issued_token_abcdefgh", false),
        ("issued_token_abcd", false),
        ("a_token_of_some_kind", true),
        ("the_third", true),
    ] {
        *refusal.lock().unwrap() =
            json!({ "error": echo.to_lowercase(), "error_description": format!("it was {echo}") });
        let error = fetch(&grant).await.unwrap_err();
        assert_eq!((error.oauth_error().is_some(), error.oauth_error_description().is_some()), (told, told), "{echo}");
    }
    *refusal.lock().unwrap() = json!({ "error_description": format!("not {}", STANDARD.encode("id:first_secret")) });
    assert_eq!(fetch(&grant).await.unwrap_err().oauth_error_description(), None);
    for (number, secret) in ["third_one", "fourth_one", "fifth_one"].into_iter().enumerate() {
        credentials.rotate(secret);
        *refusal.lock().unwrap() = json!({ "error": "first_secret", "error_description": "second_secret" });
        let error = fetch(&grant).await.unwrap_err();
        assert_eq!((error.oauth_error(), error.oauth_error_description()), (None, None), "after {number} more");
    }
}

#[tokio::test]
async fn o5_a_secret_that_was_rotated_before_the_first_token_request_is_not_repeated_either() {
    let credentials = Credentials::new("id", "first_secret");
    let body = json!({ "error": "first_secret", "error_description": "no longer first_secret" });
    let builder = ClientCredentialsGrant::builder(TOKEN_URL, credentials.clone());
    let (_, transport) = endpoint(move |_| Ok(reply(400, &[], body.to_string())));
    let grant = builder.transport(transport).build().unwrap();
    credentials.rotate("second_secret");
    let error = fetch(&grant).await.unwrap_err();
    assert_eq!((error.oauth_error(), error.oauth_error_description()), (None, None));
}

#[tokio::test]
async fn o5_a_token_of_another_source_that_was_rejected_is_not_repeated() {
    let body = json!({ "error": "of_another_source", "error_description": "not of_another_source" });
    let (_, transport) = endpoint(move |_| Ok(reply(400, &[], body.to_string())));
    let grant = secretive().transport(transport).build().unwrap();
    let rejected = AccessToken::new("of_another_source", None).unwrap();
    let error = grant.fetch(FetchRequest::new().with_rejected(rejected)).await.unwrap_err();
    assert_eq!((error.oauth_error(), error.oauth_error_description()), (None, None));
}

#[tokio::test]
async fn o5_a_key_in_the_query_of_the_token_url_is_not_repeated() {
    let url = "https://login.example.com/token?tenant=a&api_key=k3y_of%2Fthe+query";
    for (echo, told) in [
        ("k3y_of/the query", false),
        ("k3y_of%2Fthe+query", false),
        ("k3y_of%2fthe%20query", false),
        ("tenant a", true),
    ] {
        let builder = ClientCredentialsGrant::builder(url, Credentials::new("id", "secret"));
        let body = json!({ "error": "invalid_request", "error_description": format!("wrong: {echo}") });
        assert_eq!(error(builder, 400, &body).await.oauth_error_description().is_some(), told, "{echo}");
    }
}

#[tokio::test]
async fn o5_debug_of_a_token_shows_no_scope() {
    let (_, transport) = endpoint(|_| Ok(reply(200, &[], r#"{"access_token":"a","scope":"of a t3nant"}"#)));
    let token = fetch(&secretive().transport(transport).build().unwrap()).await.unwrap();
    assert_eq!(token.scope(), Some("of a t3nant"));
    assert!(!format!("{token:?} {token:#?}").contains("t3nant"));
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

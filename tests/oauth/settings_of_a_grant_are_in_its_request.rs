//! Settings of a `ClientCredentialsGrant`, and the token request that they lead to.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
        USER_AGENT,
    },
};
use serde_json::{Value, json};
use tower_outbound_auth::{
    Credentials, ErrorKind,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
};

use crate::support::token_server::{GOOD, TOKEN_URL, builder, endpoint, fetch, reply};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The request that these settings lead to.
async fn request(builder: ClientCredentialsGrantBuilder) -> Request<Bytes> {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    fetch(&builder.transport(transport).build().unwrap()).await.unwrap();
    let mut asked = asked.lock().unwrap();
    asked.remove(0)
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
async fn o1_the_client_id_may_be_in_the_body_beside_basic_and_the_secret_never() {
    for method in [ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        let both = request(builder().client_auth(method).param("client_id", "id")).await;
        assert_eq!(both.body(), "grant_type=client_credentials&client_id=id");
        assert_eq!(both.headers()[AUTHORIZATION], "Basic aWQ6a2V5");
        let in_json = request(builder().client_auth(method).param("client_id", "id").json_body()).await;
        assert_eq!(in_json.body(), r#"{"grant_type":"client_credentials","client_id":"id"}"#);
        refused(builder().client_auth(method).param("client_id", "another"), "client_id is set already");
        refused(builder().client_auth(method).param("client_secret", "key"), "client_secret is set already");
        refused(builder().client_auth(method).param("client_id", "id").param("client_id", "id"), "is set twice");
    }
    for method in [ClientAuth::Body, ClientAuth::Certificate] {
        refused(builder().client_auth(method).param("client_id", "id"), "client_id is set already");
    }
}

#[tokio::test]
async fn o1_id_and_secret_may_be_in_headers() {
    let value = HeaderValue::from_static;
    let (id, secret) = (HeaderName::from_static("client-id"), HeaderName::from_static("client-secret"));
    let request = request(builder().header(id.clone(), value("id")).header(secret.clone(), value("key"))).await;
    assert_eq!((&request.headers()[id], &request.headers()[secret]), (&value("id"), &value("key")));
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

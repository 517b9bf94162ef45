//! `Debug` shows the settings of a layer and what it does at the moment.

use std::{fmt::Debug, time::Duration};

use http::{HeaderName, HeaderValue, Method};
use tower_outbound_auth::{
    Credentials,
    signing::{SignRules, SignatureHeaders, TimestampHmac},
    token::AccessToken,
};

use crate::{sending::X_SIGNATURE, support::Issuer};

fn shows(shown: &dyn Debug, wanted: &[&str]) {
    let shown = format!("{shown:?}");
    for wanted in wanted {
        assert!(shown.contains(wanted), "{wanted} is not shown in {shown}");
    }
}

#[test]
fn a_token_shows_its_lifetime() {
    let token = AccessToken::new("t", Some(Duration::from_secs(60))).unwrap();
    shows(&token, &["AccessToken { expires_in: Some(59.9", "s), .. }"]);
}

#[test]
fn a_signature_shows_its_names() {
    let mut headers = SignatureHeaders::new();
    headers.insert(X_SIGNATURE, HeaderValue::from_static("s"));
    assert_eq!(format!("{headers:?}"), r#"{"x-signature"}"#);
    let signer = TimestampHmac::sha256(Credentials::new("client-7", "s"));
    shows(&signer, &["client-7", r#"timestamp: "x-timestamp""#, r#"signature: "x-signature""#]);
}

#[test]
fn sign_rules_show_paths_and_methods() {
    shows(&SignRules::all().only([Method::PUT]), &[r#"paths: "all""#, "methods: Some([PUT])"]);
    shows(&SignRules::paths(["/v1/{kind}"]).unwrap(), &[r#"paths: ["/v1/{kind}"]"#, "methods: None"]);
    shows(&SignRules::matching(|_, _| true), &[r#"paths: "matching""#]);
}

#[test]
fn a_layer_shows_who_gets_what() {
    let signer = TimestampHmac::sha256(Credentials::new("client-7", "s"));
    let builder = Issuer::new().builder().origin("http://127.0.0.1:8080").sign(SignRules::all(), signer);
    let builder = builder.header(HeaderName::from_static("x-tenant"), HeaderValue::from_static("7")).name("reports");
    shows(
        &builder,
        &[
            r#"name: "reports""#,
            "overwrite_authorization: false",
            r#"token_header: "authorization""#,
            r#"headers: ["x-tenant"]"#,
            r#"paths: "all""#,
            "reject_when: false",
        ],
    );
    let layer = builder.reject_when(|_| None).build().unwrap();
    let origins = "origins: [https://api.example.com, http://127.0.0.1:8080]";
    shows(&layer, &[origins, "reject_when: true", "policy: RefreshPolicy"]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_shows_the_fetch_that_is_under_way() {
    let handle = Issuer::new().layer().handle();
    shows(&handle, &["flight: None"]);
    let waiting = handle.clone();
    let caller = tokio::spawn(async move { waiting.token().await });
    tokio::task::yield_now().await;
    shows(&handle, &["flight: Some(Flight { trigger: Missing, .. })"]);
    caller.await.unwrap().unwrap();
    shows(&handle, &["flight: None", "version: 1", "issued: 1"]);
}

//! A wrong setting is a `Config` error of `build` that says what to change and holds no secret; none panics.

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING},
};
use http_body_util::Full;
use proptest::prelude::*;
use tower::service_fn;
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, Credentials, ErrorKind,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    signing::SignRules,
    token::RefreshPolicy,
};

use crate::support::{Issuer, ORIGIN};

pub(crate) const SECRET: &str = "pl4nted-s3cret";
pub(crate) const TOKEN_URL: &str = "https://login.example.com/token";

/// Holds the error to what every error of `build` promises, and to the advice that it gives.
pub(crate) fn refused<T>(built: Result<T, AuthError>, advice: &str) {
    let Err(error) = built else {
        panic!("built, though it should be refused: {advice}");
    };
    let (debug, shown) = (format!("{error:?} {:?}", error.source()), error.to_string());
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Config, false), "{shown}");
    assert!(shown.contains(advice), "{shown:?} should say: {advice}");
    assert!(!shown.contains('\n') && !shown.contains(SECRET) && !debug.contains(SECRET), "{debug}");
}

fn layer() -> AuthLayerBuilder {
    AuthLayer::builder(Issuer::new())
}

pub(crate) fn source_of(token_url: &str, credentials: Credentials) -> ClientCredentialsGrantBuilder {
    let nowhere = |_: Request<Full<Bytes>>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) };
    ClientCredentialsGrant::builder(token_url, credentials).transport(service_fn(nowhere))
}

fn source_at(token_url: &str) -> ClientCredentialsGrantBuilder {
    source_of(token_url, Credentials::new("id", SECRET))
}

fn source() -> ClientCredentialsGrantBuilder {
    source_at(TOKEN_URL)
}

#[test]
fn a_layer_without_an_origin_is_refused() {
    refused(layer().build(), "no origin configured: call origin(\"https://host\")");
    layer().origin(ORIGIN).build().unwrap();
    layer().any_origin().build().unwrap();
}

#[test]
fn an_origin_that_is_none_is_refused() {
    let (bare, userinfo, form) = ("use \"https://api.example.com\"", "remove them", "use \"https://host\"");
    for (origin, advice) in [
        ("https://api.example.com/", bare),
        ("https://api.example.com/v1", bare),
        ("https://api.example.com?key=pl4nted-s3cret", bare),
        ("https://api.example.com/?", bare),
        ("https://api.example.com#a", bare),
        ("https://user:pl4nted-s3cret@api.example.com", userinfo),
        ("https://pl4nted-s3cret@api.example.com", userinfo),
        ("https://*.example.com", "wildcards are not supported; name each host"),
        ("https://*.shop.example:8443", "wildcards are not supported; name each host"),
        ("https://*", "wildcards are not supported; name each host"),
        ("https://api-*.shop.example", "wildcards are not supported; name each host"),
        ("https://shop.*", "wildcards are not supported; name each host"),
        ("https://shop.example:*", "wildcards are not supported; name each host"),
        ("*.shop.example", "wildcards are not supported; name each host"),
        ("*", "use"),
        ("ftp://api.example.com", form),
        ("wss://api.example.com", form),
        ("api.example.com", form),
        ("/v1", form),
        ("https://api.example.com:65536", "a port below 65536"),
        ("https://:443", form),
        ("", "use one like \"https://host\""),
        ("https://", "use one like \"https://host\""),
        ("https://api.example.com:https", form),
        ("https://api.example.com\n", "use one like \"https://host\""),
        (" https://api.example.com", "use one like \"https://host\""),
        ("https://user:pl4nted-s3cret@api example.com", "use one like \"https://host\""),
        ("https://b\u{fc}cher.example", "use one like \"https://host\""),
    ] {
        refused(layer().origin(origin).build(), advice);
        refused(layer().origin(ORIGIN).origin(origin).build(), advice);
        refused(layer().any_origin().origin(origin).build(), advice);
    }
}

#[test]
fn s3_an_origin_without_tls_is_refused_beyond_this_machine() {
    for origin in
        ["http://api.example.com", "http://10.0.0.1:8080", "http://0.0.0.0", "http://[::2]", "http://localhost.example"]
    {
        let advice = format!("origin(\"{origin}\"): the token would be sent unencrypted; use https");
        refused(layer().origin(origin).build(), &advice);
        layer().origin(origin).allow_insecure_http().build().unwrap();
    }
    for origin in ["http://127.0.0.1:8080", "http://127.255.0.9", "http://[::1]", "http://localhost"] {
        layer().origin(origin).build().unwrap();
    }
}

#[test]
fn s3_brackets_hold_no_address_of_this_machine_but_ipv6() {
    for origin in ["http://[127.0.0.1]", "http://[127.0.0.1]:8080"] {
        refused(layer().origin(origin).build(), "https");
        refused(source_at(&format!("{origin}/token")).build(), "https");
    }
}

#[test]
fn o2_a_token_url_that_is_none_is_refused() {
    for (url, advice) in [
        ("", "use one like \"https://host\""),
        ("/token", "use \"https://host\""),
        ("login.example.com/token", "use one like \"https://host\""),
        ("ftp://login.example.com/token", "use \"https://host\""),
        ("https://login.example.com:65536/token", "a port below 65536"),
        ("https://user:pl4nted-s3cret@login.example.com/token", "remove them"),
        ("https://login example.com/?key=pl4nted-s3cret", "use one like \"https://host\""),
        ("http://login.example.com/token", "use https, or `allow_insecure_http`"),
        ("http://192.168.0.1/token?key=pl4nted-s3cret", "use https, or `allow_insecure_http`"),
    ] {
        refused(source_at(url).build(), advice);
    }
    for url in ["http://login.example.com/token", "http://192.168.0.1/token"] {
        source_at(url).allow_insecure_http().build().unwrap();
    }
    for url in ["https://login.example.com", "http://127.0.0.1:1/token?a=b", "http://[::1]/", "http://localhost/token"]
    {
        source_at(url).build().unwrap();
    }
}

#[test]
fn t7_a_refresh_policy_out_of_range_is_refused() {
    let built = |policy: RefreshPolicy| layer().origin(ORIGIN).refresh(policy).build();
    for fraction in [0.0, -0.1, 1.0, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(built(RefreshPolicy::default().refresh_at(fraction)), "use a number over 0 and under 1");
    }
    for fraction in [-0.1, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(built(RefreshPolicy::default().jitter(fraction)), "use a number of at least 0 and under 1");
    }
    refused(
        built(RefreshPolicy::default().attempts(0)),
        "attempts(0): no token would ever be requested; use at least 1",
    );
    let ends = RefreshPolicy::default().refresh_at(f64::MIN_POSITIVE).jitter(0.0).attempts(1);
    built(ends.deadline(std::time::Duration::MAX).refresh_at(0.999_999).jitter(0.999_999)).unwrap();
}

#[test]
fn a_static_header_that_carries_the_token_or_belongs_to_the_client_is_refused() {
    let value = || HeaderValue::from_static(SECRET);
    let with = |name| layer().origin(ORIGIN).header(name, value());
    refused(with(AUTHORIZATION).build(), "header(\"authorization\"): this header carries the token; remove it");
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        refused(
            with(name.clone()).build(),
            &format!("header(\"{name}\"): the HTTP client sets this header; remove it"),
        );
    }
    let own = HeaderName::from_static("x-access-token");
    for builder in
        [with(own.clone()).token_header(own.clone(), ""), layer().token_header(own.clone(), "").origin(ORIGIN)]
    {
        refused(
            builder.header(own.clone(), value()).build(),
            "header(\"x-access-token\"): this header carries the token",
        );
    }
    with(AUTHORIZATION).token_header(own, "").build().unwrap();
}

#[test]
fn a_token_scheme_that_is_none_is_refused() {
    for scheme in [" ", "Bearer ", "two words", "Bearer\n", "a:b", "b\u{e4}rer", "\"quoted\""] {
        refused(layer().origin(ORIGIN).token_header(AUTHORIZATION, scheme).build(), "use one word");
    }
    for scheme in ["Bearer", "bearer", "Token", "DPoP", "x-own!", ""] {
        layer().origin(ORIGIN).token_header(AUTHORIZATION, scheme).build().unwrap();
    }
}

#[test]
fn o1_a_parameter_that_stands_in_for_the_credentials_is_refused() {
    for name in ["grant_type", "client_id", "client_secret"] {
        refused(source().param(name, SECRET).build(), &format!("`param`: {name} is set already"));
        refused(source().client_auth(ClientAuth::Basic).param(name, SECRET).build(), name);
    }
}

#[test]
fn o1_a_parameter_that_is_set_twice_is_refused() {
    refused(source().param("a", "1").param("a", SECRET).build(), "\"a\" is set twice");
    refused(source().scope("read").param("scope", SECRET).build(), "\"scope\" is set twice");
    refused(source().param("scope", SECRET).scope("read").build(), "\"scope\" is set twice");
    refused(source().audience("api").param("audience", SECRET).build(), "\"audience\" is set twice");
    let repeatable = source().resource("https://a.example").param("resource", "https://b.example");
    repeatable.resource("https://c.example").scope("a").scope("b").build().unwrap();
}

#[test]
fn an_id_or_a_secret_that_cannot_be_sent_is_refused() {
    let built =
        |id: &str, secret: &str, method| source_of(TOKEN_URL, Credentials::new(id, secret)).client_auth(method).build();
    for method in [ClientAuth::Body, ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        refused(built("", SECRET, method), "the client id is empty");
        refused(built("id", "", method), "the client secret is empty");
        for end in ["\n", "\r\n", "\0", "\t", "\u{7f}", "\u{85}"] {
            refused(built("id", &format!("{SECRET}{end}"), method), "the client secret holds a control character");
            refused(built(&format!("id{end}"), SECRET, method), "the client id holds a control character");
        }
    }
    refused(built("a:b", SECRET, ClientAuth::BasicUnencoded), "use Basic or Body");
    for method in [ClientAuth::Body, ClientAuth::Basic] {
        built("a:b", "s&c+r%t=\u{e9}", method).unwrap();
    }
    built("ab", "with:colon", ClientAuth::BasicUnencoded).unwrap();
}

#[cfg(not(feature = "client"))]
#[test]
fn a_source_without_transport_is_refused_where_none_is_built_in() {
    let built = ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id", SECRET)).build();
    refused(built, "enable the feature `client`");
}

#[cfg(feature = "client")]
#[test]
fn t11_a_source_with_the_built_in_transport_needs_no_runtime_to_be_built() {
    ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id", SECRET)).build().unwrap();
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    for patterns in [
        &["v1/reports"][..],
        &[""],
        &["/v1/{"],
        &["/v1/}"],
        &["/v1/{}"],
        &["/{a}{b}"],
        &["/{*rest}/more"],
        &["/v1/{*}"],
        &["/v1/{a}", "/v1/{b}"],
        &["/v1", "/v1"],
    ] {
        refused(SignRules::paths(patterns), "is no pattern for a path");
    }
    SignRules::paths(["/v1/{a}", "/v1/{a}/more", "/v2/{*rest}", "/v1/types"]).unwrap();
    SignRules::paths([""; 0]).unwrap();
}

fn never_other_than_config<T>(built: Result<T, AuthError>) {
    assert!(built.err().is_none_or(|error| error.kind() == ErrorKind::Config));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_makes_a_builder_panic(text in "\\PC{0,24}", raw in any::<String>(), fraction in any::<f64>()) {
        for text in [text.as_str(), raw.as_str(), &format!("https://{text}"), &format!("https://a.example:{raw}")] {
            never_other_than_config(layer().origin(text).build());
            never_other_than_config(source_at(text).build());
            never_other_than_config(source().param(text, text).scope(text).resource(text).build());
            never_other_than_config(SignRules::paths([text, &format!("/{text}")]));
        }
        let policy = RefreshPolicy::default().refresh_at(fraction).jitter(fraction);
        never_other_than_config(layer().origin(ORIGIN).refresh(policy).build());
    }
}

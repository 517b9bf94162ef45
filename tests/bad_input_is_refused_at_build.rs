//! Whatever is set wrong is a clear `Config` error where it is built: it says what to change, tells no secret, and never
//! panics.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may panic")]

mod support;

use std::{convert::Infallible, env, error::Error, ffi::OsStr, process::Command};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{AUTHORIZATION, HeaderName},
};
use http_body_util::Full;
use proptest::prelude::*;
use support::{Issuer, ORIGIN};
use tower::service_fn;
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, Credentials, ErrorKind, RefreshPolicy, SignRules,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    paynet::Environment,
};

const SECRET: &str = "pl4nted-s3cret";
const TOKEN_URL: &str = "https://login.example.com/token";

/// Holds the error to what every error of a build promises, and to the advice that it gives.
fn refused<T>(built: Result<T, AuthError>, advice: &str) {
    let Err(error) = built else {
        panic!("built, though it should be refused: {advice}");
    };
    let (told, shown) = (format!("{error:?} {:?}", error.source()), error.to_string());
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Config, false), "{shown}");
    assert!(shown.contains(advice), "{shown:?} should say: {advice}");
    assert!(!shown.contains('\n') && !shown.contains(SECRET) && !told.contains(SECRET), "{told}");
}

fn layer() -> AuthLayerBuilder {
    AuthLayer::builder(Issuer::new())
}

fn source_of(token_url: &str, credentials: Credentials) -> ClientCredentialsGrantBuilder {
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
    refused(layer().build(), "name one with origin(\"https://host\")");
    layer().origin(ORIGIN).build().unwrap();
    layer().any_origin().build().unwrap();
}

#[test]
fn an_origin_that_is_none_is_refused() {
    for (origin, advice) in [
        ("https://api.example.com/", "no final slash"),
        ("https://api.example.com/v1", "no path"),
        ("https://api.example.com?key=pl4nted-s3cret", "no query"),
        ("https://api.example.com/?", "no query"),
        ("https://api.example.com#a", "ends with its host or port"),
        ("https://user:pl4nted-s3cret@api.example.com", "no user name and no password"),
        ("https://pl4nted-s3cret@api.example.com", "no user name and no password"),
        ("ftp://api.example.com", "scheme http or https"),
        ("wss://api.example.com", "scheme http or https"),
        ("api.example.com", "must look like \"https://host\""),
        ("/v1", "must look like \"https://host\""),
        ("", "must look like \"https://host\""),
        ("https://", "must look like \"https://host\""),
        ("https://:443", "must look like \"https://host\""),
        ("https://api.example.com:65536", "a port below 65536"),
        ("https://api.example.com:https", "must look like \"https://host\""),
        ("https://api.example.com\n", "must look like \"https://host\""),
        (" https://api.example.com", "must look like \"https://host\""),
        ("https://user:pl4nted-s3cret@api example.com", "must look like \"https://host\""),
        ("https://b\u{fc}cher.example", "must look like \"https://host\""),
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
        let advice = format!("{origin} would carry the token in the clear: use https, or allow_insecure_http()");
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
        ("", "must look like"),
        ("/token", "must look like"),
        ("login.example.com/token", "must look like"),
        ("ftp://login.example.com/token", "scheme http or https"),
        ("https://login.example.com:65536/token", "a port below 65536"),
        ("https://user:pl4nted-s3cret@login.example.com/token", "no user name and no password"),
        ("https://login example.com/?key=pl4nted-s3cret", "must look like"),
        ("http://login.example.com/token", "use https, or allow_insecure_http()"),
        ("http://192.168.0.1/token?key=pl4nted-s3cret", "use https, or allow_insecure_http()"),
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
        refused(built(RefreshPolicy::default().refresh_at(fraction)), "refresh_at must be over 0 and under 1");
    }
    for fraction in [-0.1, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(built(RefreshPolicy::default().jitter(fraction)), "jitter must be at least 0 and under 1");
    }
    refused(built(RefreshPolicy::default().attempts(0)), "attempts must be at least 1");
    let ends = RefreshPolicy::default().refresh_at(f64::MIN_POSITIVE).jitter(0.0).attempts(1);
    built(ends.deadline(std::time::Duration::MAX).refresh_at(0.999_999).jitter(0.999_999)).unwrap();
}

#[test]
fn a_static_authorization_header_is_refused() {
    for name in [AUTHORIZATION, HeaderName::from_bytes(b"AUTHORIZATION").unwrap()] {
        let built = layer().origin(ORIGIN).header(name, HeaderValue::from_static(SECRET)).build();
        refused(built, "header() cannot set authorization");
    }
}

#[test]
fn o1_a_parameter_that_stands_in_for_the_credentials_is_refused() {
    for name in ["grant_type", "client_id", "client_secret"] {
        refused(source().param(name, SECRET).build(), &format!("{name} is not for param()"));
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
    refused(built, "set one, or enable the feature `client`");
}

#[cfg(feature = "client")]
#[test]
fn t11_a_source_with_the_built_in_transport_needs_no_runtime_to_be_built() {
    ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id", SECRET)).build().unwrap();
    let bad = tower_outbound_auth::paynet::auth(&Environment::production(), Credentials::new("id", ""));
    refused(bad, "the client secret is empty");
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

#[test]
fn a_paynet_environment_that_is_none_is_refused() {
    let api = "https://api.example.com";
    for url in ["", "token", "ftp://h/token", "https://user:pl4nted-s3cret@h/token", "https://h:65536/"] {
        refused(Environment::custom(url, api), "must look like");
    }
    refused(Environment::custom("http://h/token?key=pl4nted-s3cret", api), "use https");
    refused(Environment::custom(TOKEN_URL, "http://api.example.com"), "use https");
    refused(Environment::custom(TOKEN_URL, "https://api.example.com/"), "no final slash");
    refused(Environment::custom(TOKEN_URL, "https://user:pl4nted-s3cret@h"), "no user name");
    let custom = Environment::custom("http://127.0.0.1:1/token", "http://localhost:2").unwrap();
    assert_eq!((custom.token_url(), custom.api_origin()), ("http://127.0.0.1:1/token", "http://localhost:2"));
}

#[test]
fn a_paynet_environment_is_read_by_its_names_only() {
    assert_eq!("production".parse::<Environment>().unwrap(), Environment::production());
    assert_eq!("uat".parse::<Environment>().unwrap(), Environment::non_production());
    assert_eq!("non-production".parse::<Environment>().unwrap(), Environment::non_production());
    assert_ne!(Environment::production(), Environment::non_production());
    for name in ["", "prod", "Production", " production", "uat\n", SECRET] {
        refused(name.parse::<Environment>(), "must be production, non-production or uat");
    }
}

const ROLE: &str = "AUTH_TEST_CHILD";
const ID: &str = "AUTH_TEST_CLIENT_ID";
const KEY: &str = "AUTH_TEST_CLIENT_SECRET";
const CHILD: &str = "child_reads_credentials_from_its_environment";

#[test]
fn a_variable_that_is_not_set_is_named() {
    let absent = ["AUTH_TEST_NO_SUCH_ID", "AUTH_TEST_NO_SUCH_SECRET"];
    refused(Credentials::from_env(absent[0], absent[1]), "AUTH_TEST_NO_SUCH_ID is not set");
    refused(Credentials::from_env("PATH", absent[1]), "AUTH_TEST_NO_SUCH_SECRET is not set");
    for name in ["", "A=B", "A\0B"] {
        refused(Credentials::from_env(name, KEY), "is not set");
    }
}

#[test]
fn credentials_come_from_the_environment_or_the_trouble_with_it_is_named() {
    assert!(child("id", SECRET).contains("read: id"));
    assert!(child("", SECRET).contains(&format!("{ID} is empty")));
    assert!(child("id", "").contains(&format!("{KEY} is empty")));
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        assert!(child("id", OsStr::from_bytes(b"pl4nted-s3cret\xff")).contains(&format!("{KEY} is not valid Unicode")));
    }
}

/// Not a test of its own: what the test above runs in a process with an environment of its own.
#[test]
fn child_reads_credentials_from_its_environment() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    match Credentials::from_env(ID, KEY) {
        Ok(credentials) => {
            let source = source_of(TOKEN_URL, credentials.clone()).build().unwrap();
            println!("read: {} {credentials:?} {source:?}", credentials.client_id());
        }
        Err(error) => println!("refused: {error} {error:?}"),
    }
}

/// What the child says.
fn child(id: impl AsRef<OsStr>, secret: impl AsRef<OsStr>) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", CHILD, "--nocapture"]).env(ROLE, "1").env(ID, id).env(KEY, secret);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !said.contains(SECRET), "{said}");
    said
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
            never_other_than_config(Environment::custom(text, text));
            never_other_than_config(text.parse::<Environment>());
        }
        let policy = RefreshPolicy::default().refresh_at(fraction).jitter(fraction);
        never_other_than_config(layer().origin(ORIGIN).refresh(policy).build());
    }
}

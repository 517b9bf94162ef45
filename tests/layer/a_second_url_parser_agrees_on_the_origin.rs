//! S3: no credential goes where the parser of the `url` crate sees another origin.

use std::time::Duration;

use http::Request;
use proptest::prelude::*;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::AuthLayer;

use crate::support::{Body, Issuer, api};

/// Sends outside of a test's runtime, as a property has to. None where `http` cannot read the URI or no layer is built.
fn decide(origin: &str, uri: &str) -> Option<bool> {
    let issuer = Issuer::new();
    let layer = AuthLayer::builder(issuer.clone()).origin(origin).build().ok()?;
    let request = Request::get(uri).body(Body::default()).ok().filter(|request| request.uri().authority().is_some())?;
    let (seen, api) = api(&issuer, Duration::ZERO);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(layer.layer(api).oneshot(request)).unwrap();
    Some(!seen.tokens().is_empty())
}

fn same_origin(origin: &str, uri: &str) -> bool {
    let parse = |text| url::Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
    parse(origin).is_some_and(|origin| parse(uri) == Some(origin))
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("api.example.com".to_owned()),
        1 => "(api|API|evil)[.](example|eXample)[.]com[.]?",
        1 => prop::sample::select(vec!["127.0.0.1", "127.1", "0x7f.1", "[::1]", "[0:0:0:0:0:0:0:1]", "localhost", "a%70i.example.com"])
            .prop_map(str::to_owned),
        1 => "[-a-z0-9.@:\\[\\]%_~!$&'()*+,;=]{1,12}",
    ]
}

fn port() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        2 => prop::sample::select(vec![":", ":443", ":80", ":0443", ":8443", ":65535", ":65536", ":99999", ":+443", ":-1", ":4 43"])
            .prop_map(str::to_owned),
        1 => ":[0-9]{0,6}",
    ]
}

fn scheme() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["https", "https", "https", "http", "HTTPS", "hTTp", "wss", "ftp"])
}

fn userinfo() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 1 => "[-a-z0-9.:@/?#\\\\%]{0,10}@"]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("/".to_owned()), 1 => "[/?#\\\\@:.a-z]{0,10}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s3_no_credential_goes_where_a_second_reader_of_urls_sees_another_origin(
        (scheme_a, host_a, port_a) in (scheme(), host(), port()),
        (scheme_b, user, host_b, port_b, path) in (scheme(), userinfo(), host(), port(), path()),
    ) {
        let origin = format!("{scheme_a}://{host_a}{port_a}");
        let uri = format!("{scheme_b}://{user}{host_b}{port_b}{path}");
        if let Some(sent) = decide(&origin, &uri) {
            let same = same_origin(&origin, &uri);
            prop_assert!(!sent || same, "{origin} admits {uri}");
            let plain = user.is_empty() && path == "/" && host_a.eq_ignore_ascii_case(&host_b);
            prop_assert!(sent || !(same && plain), "{origin} refuses {uri}");
        }
    }
}

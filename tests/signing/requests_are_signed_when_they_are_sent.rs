//! A request that needs a signature gets the right one, made just before it is sent, or is not sent.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::AUTHORIZATION};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind, paynet,
    paynet::{X_SIGNATURE, X_TIMESTAMP},
    signing::{SignRules, SignatureHeaders, Signer, SigningContext, TimestampHmac},
    token::AccessToken,
};

use crate::{
    client::{client, pair},
    support::{Issuer, ORIGIN, api, get},
};

/// Signs as if it were a set time, in milliseconds since 1970.
#[derive(Clone)]
struct At {
    millis: Arc<AtomicI64>,
    signer: Arc<TimestampHmac>,
}

impl At {
    fn new(signer: TimestampHmac) -> Self {
        Self { millis: Arc::default(), signer: Arc::new(signer) }
    }
}

impl Signer for At {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        let millis = self.millis.load(SeqCst);
        let distance = Duration::from_millis(millis.unsigned_abs());
        let now = if millis < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance };
        let (method, uri, headers, token) = (context.method(), context.uri(), context.headers(), context.token());
        self.signer.sign(&SigningContext::new(method, uri, headers, token, now))
    }
}

fn vectors() -> Vec<[String; 3]> {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/paynet.json")).unwrap();
    let text = |case: &Value, name: &str| case[name].as_str().unwrap().to_owned();
    let cases = vectors["cases"].as_array().unwrap().iter();
    cases.map(|case| ["client_secret", "timestamp", "signature"].map(|name| text(case, name))).collect()
}

#[test]
fn paynets_sample_function_gives_paynets_signatures() {
    assert_eq!(vectors().len(), 8);
    for [secret, timestamp, signature] in vectors() {
        assert_eq!(paynet::signature(&timestamp, &secret), signature);
    }
}

#[tokio::test(start_paused = true)]
async fn a_signed_request_carries_paynets_signature() {
    // An empty secret makes no signature, though the algorithm would take it.
    for [secret, timestamp, signature] in vectors().into_iter().filter(|[secret, ..]| !secret.is_empty()) {
        let signer = At::new(TimestampHmac::sha256(Credentials::new("id", secret)));
        signer.millis.store(timestamp.parse::<i64>().unwrap() * 1_000 + 999, SeqCst);
        let headers = client(SignRules::all(), signer).headers(get("/a")).await;
        assert_eq!(pair(&headers), (timestamp.as_str(), signature.as_str()));
        assert!(headers[X_TIMESTAMP].is_sensitive() && headers[X_SIGNATURE].is_sensitive());
    }
}

#[tokio::test(start_paused = true)]
async fn t13_a_signature_takes_the_wall_clock_and_not_the_one_that_a_test_advances() {
    let client = client(SignRules::all(), TimestampHmac::sha256(Credentials::new("id", "a key")));
    for advance in [0, 2, 300] {
        tokio::time::advance(Duration::from_secs(advance)).await;
        let before = unix_seconds();
        let headers = client.headers(get("/a")).await;
        let (timestamp, signature) = pair(&headers);
        assert!((before..=unix_seconds()).contains(&timestamp.parse().unwrap()), "{timestamp} after {advance} s");
        assert_eq!(signature, paynet::signature(timestamp, "a key"));
    }
}

#[expect(clippy::disallowed_methods, reason = "what a signature must agree with")]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_clock_before_1970_signs_the_beginning_of_it() {
    let signer = At::new(TimestampHmac::sha256(Credentials::new("id", "a key")));
    signer.millis.store(-86_400_000, SeqCst);
    let headers = client(SignRules::all(), signer).headers(get("/a")).await;
    assert_eq!(pair(&headers), ("0", paynet::signature("0", "a key").as_str()));
}

#[tokio::test(start_paused = true)]
async fn the_two_headers_may_have_other_names() {
    let [time, mac] = ["x-when", "x-proof"].map(HeaderName::from_static);
    let signer = TimestampHmac::sha256(Credentials::new("id", "a key")).headers(time.clone(), mac.clone());
    let headers = client(SignRules::all(), signer).headers(get("/a")).await;
    let timestamp = headers[time].to_str().unwrap();
    assert_eq!(headers[mac], paynet::signature(timestamp, "a key"));
    assert!(!headers.contains_key(X_TIMESTAMP) && !headers.contains_key(X_SIGNATURE));
}

#[tokio::test(start_paused = true)]
async fn the_headers_of_one_second_are_shared_and_those_of_the_next_are_new() {
    let signer = At::new(TimestampHmac::sha256(Credentials::new("id", "a key")));
    let client = client(SignRules::all(), signer.clone());
    let at = async |millis| {
        signer.millis.store(millis, SeqCst);
        client.headers(get("/a")).await
    };
    let place = |headers: &HeaderMap| headers[X_SIGNATURE].as_bytes().as_ptr();
    let (first, last) = (at(1_700_000_000_000).await, at(1_700_000_000_999).await);
    assert_eq!((pair(&first), place(&first)), (pair(&last), place(&last)), "computed once");
    let next = at(1_700_000_001_000).await;
    assert_eq!(pair(&next), ("1700000001", paynet::signature("1700000001", "a key").as_str()));
    let back = at(1_699_999_999_000).await;
    assert_eq!(pair(&back), ("1699999999", paynet::signature("1699999999", "a key").as_str()), "a clock set back");
}

#[tokio::test(start_paused = true)]
async fn t14_a_rotated_secret_signs_at_once_and_within_the_same_second() {
    let credentials = Credentials::new("id", "first");
    let signer = At::new(TimestampHmac::sha256(credentials.clone()));
    signer.millis.store(1_700_000_000_500, SeqCst);
    let client = client(SignRules::all(), signer);
    for secret in ["first", "second", "third", "first"] {
        credentials.rotate(secret);
        let headers = client.headers(get("/a")).await;
        assert_eq!(pair(&headers), ("1700000000", paynet::signature("1700000000", secret).as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_call_of_sign_replaces_the_first() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let signer = |key| TimestampHmac::sha256(Credentials::new("id", key));
    let builder = issuer.builder().sign(SignRules::all(), signer("first"));
    let layer = builder.sign(SignRules::paths(["/a"]).unwrap(), signer("second")).build().unwrap();
    layer.layer(api.clone()).oneshot(get("/b")).await.unwrap();
    layer.layer(api).oneshot(get("/a")).await.unwrap();
    let requests = seen.requests();
    assert!(!requests[0].headers().contains_key(X_SIGNATURE));
    let (timestamp, signature) = pair(requests[1].headers());
    assert_eq!(signature, paynet::signature(timestamp, "second"));
}

/// Remembers what it was shown.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Option<Shown>>>);

type Shown = (Method, Uri, HeaderMap, AccessToken);

impl Signer for Notes {
    fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        let (method, uri) = (context.method().clone(), context.uri().clone());
        *self.0.lock().unwrap() = Some((method, uri, context.headers().clone(), context.token().clone()));
        let mut headers = SignatureHeaders::new();
        headers.insert(HeaderName::from_static("x-mine"), HeaderValue::from_static("first"));
        headers.insert(HeaderName::from_static("x-mine"), HeaderValue::from_static("second"));
        headers.insert(HeaderName::from_static("x-own"), HeaderValue::from_static("signer's"));
        Ok(headers)
    }
}

#[tokio::test(start_paused = true)]
async fn a_custom_signer_sees_the_request_as_it_will_be_sent() {
    let (issuer, notes) = (Issuer::new(), Notes::default());
    let (seen, api) = api(&issuer, Duration::ZERO);
    let builder = issuer.builder().header(HeaderName::from_static("x-static"), HeaderValue::from_static("1"));
    let layer = builder.sign(SignRules::all(), notes.clone()).build().unwrap();
    let mut request = get("/a?b");
    request.headers_mut().insert("x-own", HeaderValue::from_static("caller's"));
    *request.method_mut() = Method::PATCH;
    layer.layer(api).oneshot(request).await.unwrap();

    let (method, uri, headers, token) = notes.0.lock().unwrap().take().unwrap();
    assert_eq!((method, uri.to_string()), (Method::PATCH, format!("{ORIGIN}/a?b")));
    assert_eq!((headers[AUTHORIZATION].to_str().unwrap(), token.expose_secret()), ("Bearer token-1", "token-1"));
    assert_eq!((&headers["x-static"], &headers["x-own"]), (&"1".parse().unwrap(), &"caller's".parse().unwrap()));
    let arrived = seen.requests()[0].headers().clone();
    assert_eq!(arrived.get_all("x-mine").iter().collect::<Vec<_>>(), ["second"], "replaced, not appended");
    assert_eq!(arrived.get_all("x-own").iter().collect::<Vec<_>>(), ["signer's"]);
    assert!(arrived["x-mine"].is_sensitive() && arrived["x-own"].is_sensitive());
}

/// Fails so many times.
struct Failing(AtomicU64, ErrorKind);

impl Signer for Failing {
    fn sign(&self, _context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
        match self.0.fetch_sub(1, SeqCst) {
            0 => Ok(SignatureHeaders::new()),
            _ => Err(AuthError::new(self.1, "the key store is locked").with_source("no key")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_signer_fails_is_not_sent() {
    for kind in [ErrorKind::Signing, ErrorKind::Unavailable] {
        let client = client(SignRules::all(), Failing(AtomicU64::new(2), kind));
        for attempt in ["without a current token", "with one"] {
            let error = client.service.clone().oneshot(get("/a")).await.unwrap_err();
            let error = AuthError::find(error.as_ref()).unwrap();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, "the key store is locked"), "{attempt}");
            assert_eq!(client.seen.count(), 0, "nothing goes out unsigned, {attempt}");
        }
        client.service.clone().oneshot(get("/a")).await.unwrap();
        assert_eq!(client.seen.count(), 1, "and nothing is broken by it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_signer_fails_later_is_not_replayed_unsigned() {
    struct Once(AtomicU64);
    impl Signer for Once {
        fn sign(&self, _context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
            match self.0.fetch_add(1, SeqCst) {
                0 | 1 => Ok(SignatureHeaders::new()),
                _ => Err(AuthError::new(ErrorKind::Signing, "the key is used up")),
            }
        }
    }
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let service = issuer.builder().sign(SignRules::all(), Once(AtomicU64::new(0))).build().unwrap().layer(api);
    service.clone().oneshot(get("/a")).await.unwrap();
    issuer.revoke();
    let error = service.oneshot(get("/a")).await.unwrap_err();
    assert_eq!(AuthError::find(error.as_ref()).unwrap().kind(), ErrorKind::Signing);
    assert_eq!(seen.count(), 2, "the rejected one was signed, its second send would not have been");
}

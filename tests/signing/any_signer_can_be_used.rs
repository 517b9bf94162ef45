//! A signer may be a closure, shared, or chosen at run time; without a signature, a request is not sent.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tower::ServiceExt;
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind, paynet,
    signing::{SignRules, SignatureHeaders, Signer, SignerFn, SigningContext, TimestampHmac, signer_fn},
    token::AccessToken,
};

use crate::{
    client::client,
    support::{Issuer, get},
};

/// Keys that nothing is to be signed with, and what is wrong with them.
const UNFIT: [(&str, &str); 8] = [
    ("", "is empty"),
    ("key\n", "line end"),
    ("key\r\n", "line end"),
    ("\tkey", "control character"),
    ("ke\u{0}y", "control character"),
    ("key\u{85}", "control character"),
    ("key\u{2028}", "line end"),
    ("key\u{7f}", "control character"),
];

#[test]
fn a_layer_is_not_built_with_a_signing_key_that_is_empty_or_has_a_control_character() {
    for (key, problem) in UNFIT {
        let shared = || -> Box<dyn Signer> { Box::new(Arc::new(TimestampHmac::sha256(Credentials::new("id", key)))) };
        for rules in [SignRules::all(), SignRules::paths(["/signed"]).unwrap()] {
            let error = Issuer::new().builder().sign(rules, shared()).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{key:?}");
            assert!(error.to_string().contains(problem) && !error.to_string().contains("key\n"), "{error}");
        }
    }
    let without = TimestampHmac::sha256(Credentials::without_secret("id"));
    assert_eq!(Issuer::new().builder().sign(SignRules::all(), without).build().unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_not_sent_if_its_signing_key_was_rotated_to_one_that_is_unfit() {
    for (key, problem) in UNFIT {
        let credentials = Credentials::new("id", "first");
        let client = client(SignRules::all(), TimestampHmac::sha256(credentials.clone()));
        assert_eq!(client.service.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        credentials.rotate(key);
        let error = client.service.clone().oneshot(get("/a")).await.unwrap_err();
        let error = AuthError::find(error.as_ref()).unwrap();
        assert_eq!(error.kind(), ErrorKind::Signing);
        assert!(error.to_string().contains(problem), "{error}");
        assert_eq!(client.seen.count(), 1);
    }
}

#[test]
fn a_key_that_was_rotated_to_nothing_does_not_sign_with_what_was_signed_before() {
    let credentials = Credentials::new("id", "first");
    let signer = TimestampHmac::sha256(credentials.clone());
    sign(&signer, 1).unwrap();
    credentials.rotate("");
    assert_eq!(sign(&signer, 1).unwrap_err().kind(), ErrorKind::Signing);
    credentials.rotate("second");
    let headers = sign(&signer, 1).unwrap();
    assert_eq!(headers.get(&paynet::X_SIGNATURE).unwrap(), &paynet::signature("1", "second"));
}

#[test]
fn a_cloned_signer_has_the_names_of_its_headers_and_follows_the_rotation() {
    let credentials = Credentials::new("id", "first");
    let (date, mac) = (HeaderName::from_static("x-date"), HeaderName::from_static("x-mac"));
    let signer = TimestampHmac::sha256(credentials.clone()).headers(date.clone(), mac.clone());
    let original = sign(&signer, 1).unwrap();
    let cloned = sign(&signer.clone(), 1).unwrap();
    for name in [&date, &mac] {
        assert!(cloned.get(name).is_some() && cloned.get(name) == original.get(name), "{name}");
    }
    let clone = signer.clone();
    credentials.rotate("second");
    let headers = sign(&clone, 1).unwrap();
    assert_eq!(headers.get(&mac).unwrap(), &paynet::signature("1", "second"));
}

/// Signs a request by hand, at this unix time.
fn sign(signer: &impl Signer, unix_seconds: u64) -> Result<SignatureHeaders, AuthError> {
    let (method, uri, headers) = (Method::GET, Uri::from_static("https://api.example.com/a"), HeaderMap::new());
    let token = AccessToken::new("abc", None)?;
    let now = UNIX_EPOCH + Duration::from_secs(unix_seconds);
    signer.sign(&SigningContext::new(&method, &uri, &headers, &token, now))
}

/// The value of this header is the signature.
const NAME: HeaderName = HeaderName::from_static("x-by-closure");

fn by_closure() -> SignerFn<impl Fn(&SigningContext<'_>) -> Result<SignatureHeaders, AuthError> + Send + Sync + 'static>
{
    signer_fn(|context: &SigningContext<'_>| {
        let mut headers = SignatureHeaders::new();
        let value = HeaderValue::from_str(context.uri().path())
            .map_err(|error| AuthError::new(ErrorKind::Signing, "no header value").with_source(error))?;
        headers.insert(NAME, value);
        Ok(headers)
    })
}

#[tokio::test(start_paused = true)]
async fn a_closure_signs() {
    let headers = client(SignRules::all(), by_closure()).headers(get("/a")).await;
    assert_eq!(headers[NAME], "/a");
    assert!(headers[NAME].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_closure_fails_the_request() {
    let failing = signer_fn(|_: &SigningContext<'_>| Err(AuthError::new(ErrorKind::Signing, "the key is locked")));
    let client = client(SignRules::all(), failing);
    let error = client.service.clone().oneshot(get("/a")).await.unwrap_err();
    assert_eq!(AuthError::find(error.as_ref()).unwrap().to_string(), "the key is locked");
    assert_eq!(client.seen.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_signer_may_be_shared_and_chosen_at_run_time() {
    let shared: Arc<dyn Signer> = Arc::new(by_closure());
    let boxed: Box<dyn Signer> = Box::new(Arc::clone(&shared));
    assert_eq!(client(SignRules::all(), shared).headers(get("/a")).await[NAME], "/a");
    assert_eq!(client(SignRules::all(), boxed).headers(get("/a")).await[NAME], "/a");
}

#[test]
fn debug_output_of_signers_has_no_secret() {
    let hmac = TimestampHmac::sha256(Credentials::new("id", "planted"));
    let headers = sign(&hmac, 1).unwrap();
    let closure = signer_fn(|_: &SigningContext<'_>| Ok(SignatureHeaders::new()));
    let text = format!("{hmac:?} {headers:?} {closure:?}");
    assert!(!text.contains("planted") && !text.contains(&paynet::signature("1", "planted")), "{text}");
    assert!(text.contains("SignerFn"), "{text}");
}

#[test]
fn signers_are_send_sync_and_cheap_to_share() {
    fn is_shared<T: Send + Sync + 'static>(_: &T) {}
    fn is_copied<T: Copy>(_: &T) {}
    is_shared(&TimestampHmac::sha256(Credentials::new("id", "a key")));
    is_shared(&SignatureHeaders::new());
    is_shared(&by_closure());
    let f: fn(&SigningContext<'_>) -> Result<SignatureHeaders, AuthError> = |_| Ok(SignatureHeaders::new());
    is_copied(&signer_fn(f));
}

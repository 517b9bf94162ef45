//! `client_assertion`: what is sent in place of a secret, and what becomes of an assertion.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderName, Request,
    header::{AGE, AUTHORIZATION, DATE},
};
use tower_outbound_auth::{
    AuthError, AuthLayer, Credentials, ErrorKind,
    oauth::{
        Assertion, AssertionRequest, AssertionSource, ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder,
    },
    token::{FetchRequest, RefreshPolicy, TokenSource},
};

use crate::support::token_server::{GOOD, TOKEN_URL, endpoint, fetch, reply};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Numbers its assertions, and keeps nothing else.
#[derive(Clone, Default)]
struct Numbered {
    made: Arc<AtomicUsize>,
    assertion_type: Option<&'static str>,
    failures: usize,
    takes: Duration,
}

impl AssertionSource for Numbered {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        assert_eq!((request.client_id(), request.token_endpoint(), request.issuer()), ("id", TOKEN_URL, None));
        let number = self.made.fetch_add(1, SeqCst);
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            if number < self.failures {
                return Err(AuthError::new(ErrorKind::Unavailable, "the key service is busy"));
            }
            let assertion = Assertion::jwt(format!("head.claims-{number}.signature-{number}"));
            Ok(self.assertion_type.into_iter().fold(assertion, Assertion::with_type))
        })
    }
}

fn builder() -> ClientCredentialsGrantBuilder {
    ClientCredentialsGrant::builder(TOKEN_URL, Credentials::without_secret("id"))
}

async fn request(builder: ClientCredentialsGrantBuilder) -> Request<Bytes> {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    fetch(&builder.transport(transport).build().unwrap()).await.unwrap();
    let mut asked = asked.lock().unwrap();
    asked.remove(0)
}

fn refused(builder: ClientCredentialsGrantBuilder, advice: &str) {
    let error = builder.transport(endpoint(|_| Ok(reply(200, &[], GOOD))).1).build().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(advice), "{error} should say: {advice}");
}

fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs).finish()
}

#[tokio::test(start_paused = true)]
async fn o1_an_assertion_its_type_and_the_client_id_are_sent_and_no_secret() {
    let request = request(builder().client_assertion(Numbered::default()).scope("read")).await;
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "id"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", "head.claims-0.signature-0"),
        ("scope", "read"),
    ];
    assert_eq!(request.body(), &form(&expected));
    assert!(!request.headers().contains_key(AUTHORIZATION));
}

#[tokio::test(start_paused = true)]
async fn o1_the_client_id_can_be_left_out_and_the_type_be_another() {
    let source = Numbered { assertion_type: Some("urn:x:jwt-spiffe"), ..Numbered::default() };
    let request = request(builder().client_assertion(source).omit_client_id().json_body()).await;
    let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
    let expected = serde_json::json!({ "grant_type": "client_credentials", "client_assertion_type": "urn:x:jwt-spiffe",
        "client_assertion": "head.claims-0.signature-0" });
    assert_eq!(body, expected);
}

#[test]
fn o1_a_client_authenticates_in_one_way_only() {
    let with =
        |credentials| ClientCredentialsGrant::builder(TOKEN_URL, credentials).client_assertion(Numbered::default());
    refused(with(Credentials::new("id", "key")), "use `Credentials::without_secret`");
    for method in [ClientAuth::Basic, ClientAuth::BasicUnencoded, ClientAuth::Certificate] {
        refused(with(Credentials::without_secret("id")).client_auth(method), "a client authenticates in one way");
    }
    refused(with(Credentials::without_secret("")), "the client id is empty");
    for name in ["client_assertion", "client_assertion_type"] {
        refused(with(Credentials::without_secret("id")).param(name, "x"), "is what `client_assertion` sends");
    }
    with(Credentials::without_secret("")).omit_client_id().transport(endpoint(|_| unreachable!()).1).build().unwrap();
}

#[tokio::test(start_paused = true)]
async fn t9_each_attempt_has_an_assertion_of_its_own() {
    let (asked, transport) = endpoint(|nth| Ok(if nth < 2 { reply(503, &[], "") } else { reply(200, &[], GOOD) }));
    let source = Numbered::default();
    let grant = builder().client_assertion(source.clone()).transport(transport).build().unwrap();
    let layer = AuthLayer::builder(grant).any_origin().build().unwrap();
    layer.handle().token().await.unwrap();
    let bodies: Vec<_> = asked.lock().unwrap().iter().map(|request| request.body().clone()).collect();
    assert_eq!(bodies.len(), 3);
    for (number, body) in bodies.iter().enumerate() {
        assert!(
            body.ends_with(format!("client_assertion=head.claims-{number}.signature-{number}").as_bytes()),
            "{body:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn t9_a_source_that_fails_for_a_while_is_asked_again() {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    let source = Numbered { failures: 2, ..Numbered::default() };
    let grant = builder().client_assertion(source.clone()).transport(transport).build().unwrap();
    let layer = AuthLayer::builder(grant).any_origin().build().unwrap();
    layer.handle().token().await.unwrap();
    assert_eq!((source.made.load(SeqCst), asked.lock().unwrap().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn t2_a_signer_that_takes_its_time_is_limited_by_the_fetch_and_not_by_the_exchange() {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    let slow = |takes| Numbered { takes: Duration::from_secs(takes), ..Numbered::default() };
    let grant = builder().timeout(Duration::from_secs(1)).client_assertion(slow(5)).transport(transport.clone());
    let layer = AuthLayer::builder(grant.build().unwrap()).any_origin().build().unwrap();
    let begin = tokio::time::Instant::now();
    let token = layer.handle().token().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(5));
    // Its lifetime begins when it was asked for, not when the signature was.
    assert!(token.expires_in() > Some(Duration::from_secs(3_599)), "{token:?}");
    let grant = builder().client_assertion(slow(60)).transport(transport).build().unwrap();
    let policy = RefreshPolicy::default().deadline(Duration::from_secs(30));
    let layer = AuthLayer::builder(grant).any_origin().refresh(policy).build().unwrap();
    assert_eq!(layer.handle().token().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_assertion_or_type_is_not_sent() {
    struct Empty(&'static str, &'static str);
    impl AssertionSource for Empty {
        fn assertion<'a>(
            &'a self,
            _request: AssertionRequest<'a>,
        ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
            Box::pin(async { Ok(Assertion::jwt(self.0).with_type(self.1)) })
        }
    }
    for empty in [Empty("", "urn:x"), Empty("a.b.c", "")] {
        let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
        let grant = builder().client_assertion(Box::new(empty)).transport(transport).build().unwrap();
        assert_eq!(fetch(&grant).await.unwrap_err().kind(), ErrorKind::Signing);
        assert!(asked.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn o5_no_error_repeats_an_assertion() {
    let echoes = ["we know no head.claims-0.signature-0", "bad head.claims-", "the signature-0 is wrong"];
    for (text, is_shown) in echoes.map(|text| (text, false)).into_iter().chain([("the client is unknown", true)]) {
        let body = format!(r#"{{"error":"invalid_client","error_description":"{text}"}}"#);
        let (_, transport) = endpoint(move |_| Ok(reply(401, &[], body.clone())));
        let grant = builder().client_assertion(Arc::new(Numbered::default())).transport(transport).build().unwrap();
        let error = fetch(&grant).await.unwrap_err();
        assert_eq!(error.oauth_error_description().is_some(), is_shown, "{text}");
        assert!(!format!("{error:?}").contains("signature-0"));
    }
}

#[tokio::test(start_paused = true)]
async fn r8_the_source_gets_the_time_that_the_layer_knows() {
    struct Clock(SystemTime);
    impl AssertionSource for Clock {
        fn assertion<'a>(
            &'a self,
            request: AssertionRequest<'a>,
        ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
            assert_eq!(request.now(), self.0);
            Box::pin(async { Ok(Assertion::jwt("a.b.c")) })
        }
    }
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    let request = FetchRequest::new();
    let grant = builder().client_assertion(Clock(request.now())).transport(transport).build().unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    grant.fetch(request).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn the_way_to_authenticate_tells_tokens_apart_and_the_key_does_not() {
    let transport = || endpoint(|_| Ok(reply(200, &[], GOOD))).1;
    let of =
        |builder: ClientCredentialsGrantBuilder| builder.transport(transport()).build().unwrap().identity().unwrap();
    let another = Numbered { failures: 1, ..Numbered::default() };
    let asserting = of(builder().client_assertion(Numbered::default()));
    assert_eq!(asserting, of(builder().client_assertion(Arc::new(another))));
    let discovered = ClientCredentialsGrant::discover("https://login.example.com", Credentials::without_secret("id"));
    for other in [
        of(builder().client_auth(ClientAuth::Certificate)),
        of(builder().client_assertion(Numbered::default()).omit_client_id()),
        of(discovered.client_assertion(Numbered::default())),
        of(ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id", "key"))),
    ] {
        assert_ne!(asserting, other);
    }
}

/// Says the time, as an assertion does.
struct Times;

impl AssertionSource for Times {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        let seconds = request.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        Box::pin(async move { Ok(Assertion::jwt(format!("a.{seconds}.c"))) })
    }
}

/// The times of the assertions that were sent, from now, to a server whose clock is so many seconds ahead and whose
/// responses to the first requests have these headers.
async fn times_by(ahead: i64, headers: &'static [(HeaderName, &'static str)]) -> (Vec<i64>, Result<(), ErrorKind>) {
    let date = httpdate::fmt_http_date(
        SystemTime::now() + Duration::from_secs(100_000) - Duration::from_secs(u64::try_from(100_000 - ahead).unwrap()),
    );
    let (asked, transport) = endpoint(move |nth| {
        let (status, body) = if nth == 0 { (401, r#"{"error":"invalid_client"}"#) } else { (200, GOOD) };
        let mut response = reply(status, headers, body);
        response.headers_mut().insert(DATE, date.parse().unwrap());
        Ok(response)
    });
    let grant = builder().client_assertion(Times).transport(transport).build().unwrap();
    let layer = AuthLayer::builder(grant).any_origin().build().unwrap();
    let first = layer.handle().token().await.map(drop).map_err(|error| error.kind());
    if first.is_ok() {
        layer.handle().refresh().await.unwrap();
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let time = |body: &Bytes| String::from_utf8_lossy(body).rsplit('.').nth(1).unwrap().parse::<i64>().unwrap() - now;
    (asked.lock().unwrap().iter().map(|request| time(request.body())).collect(), first)
}

#[tokio::test(start_paused = true)]
async fn r8_a_clock_that_is_wrong_is_learnt_from_the_refusal_of_an_assertion() {
    for ahead in [3_600, -3_600, 45] {
        let (times, result) = times_by(ahead, &[]).await;
        assert_eq!(result, Ok(()), "{ahead}");
        assert_eq!(times.len(), 3, "{times:?}: one more try, and the next token at once");
        for (time, expected) in times.into_iter().zip([0, ahead, ahead]) {
            assert!((time - expected).abs() <= 2, "{time} instead of {expected}");
        }
    }
    // Then the clock is no reason, or the time is not the server's own.
    for (ahead, headers) in [(20, &[][..]), (-20, &[]), (90_000, &[]), (3_600, &[(AGE, "0")])] {
        let (times, result) = times_by(ahead, headers).await;
        assert_eq!((times.len(), result), (1, Err(ErrorKind::Denied)), "{ahead}");
    }
}

#[test]
fn neither_an_assertion_nor_its_request_shows_a_secret() {
    let assertion = Assertion::jwt("head.claims.signature").with_type("urn:x");
    assert_eq!((assertion.expose_secret(), assertion.assertion_type()), ("head.claims.signature", "urn:x"));
    let shown = format!("{assertion:?}");
    assert!(shown.contains("urn:x") && !shown.contains("head"), "{shown}");
    let request = AssertionRequest::new("id", "https://login.example.com/token?key=s3cret", SystemTime::UNIX_EPOCH);
    let shown = format!("{:?}", request.with_issuer("https://login.example.com"));
    assert!(shown.contains("/token") && !shown.contains("s3cret"), "{shown}");
}

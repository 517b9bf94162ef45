//! No copy is left in memory of a secret that nothing uses any more. A separate process, since all of its memory is searched.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic")]

mod another_process;
mod masked;

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use masked::{Masked, PADDING};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials,
    keyed::KeyedAuthLayer,
    oauth::{Assertion, AssertionFile, AssertionRequest, AssertionSource, ClientAuth, ClientCredentialsGrant},
    secrecy::{ExposeSecret, SecretString},
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, FetchRequest, TokenSource},
};

const URL: &str = "https://login.example.com/token";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn o6_a_token_is_wiped_with_its_last_clone() {
    static TOKEN: Masked<52> = Masked::new(b"wiped-token-of-two-clones-u8jzPde0IgxLd6GncfBAepfJBd");
    assert_eq!(TOKEN.copies(), 0);
    let token = AccessToken::new(TOKEN.reveal_long(), None).unwrap();
    let clone = token.clone().with_scope("read");
    assert_eq!(TOKEN.copies(), 1, "the search finds it, and clones share it");
    drop(token);
    assert_eq!(TOKEN.copies(), 1);
    drop(clone);
    assert_eq!(TOKEN.copies(), 0);
}

#[test]
fn o6_a_token_that_cannot_be_sent_is_wiped_too() {
    static TOKEN: Masked<53> = Masked::new(b"wiped-token-with-a-line-\nend-0Kh8oOOL8dKLzdocJ2isAjIh");
    assert!(AccessToken::new(TOKEN.reveal_long(), None).is_err());
    assert_eq!(TOKEN.copies(), 0);
}

/// Gives out a token, and from the second time on another.
struct First<const N: usize>(Masked<N>, AtomicUsize);

impl<const N: usize> TokenSource for First<N> {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        let secret =
            if self.1.fetch_add(1, SeqCst) == 0 { self.0.reveal_long() } else { SecretString::from("another") };
        Box::pin(ready(AccessToken::new(secret, None)))
    }
}

fn layer<const N: usize>(token: Masked<N>) -> AuthLayer {
    AuthLayer::builder(First(token, AtomicUsize::new(0))).any_origin().build().unwrap()
}

/// Sends a request, and gives back the header that arrives.
async fn send(layer: &AuthLayer) -> HeaderValue {
    let header = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&header);
    let api = service_fn(move |mut request: Request<Full<Bytes>>| {
        *kept.lock().unwrap() = request.headers_mut().remove(AUTHORIZATION);
        ready(Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())))
    });
    layer.layer(api).oneshot(Request::get("https://api.example.com").body(Full::default()).unwrap()).await.unwrap();
    header.lock().unwrap().take().unwrap()
}

#[test]
fn o6_a_token_is_wiped_with_the_last_header_that_carries_it() {
    const TOKEN: Masked<52> = Masked::new(b"wiped-token-in-a-request-KtJ0RlgLKOmxgJTeKdNnFRIBXuD");
    let layer = layer(TOKEN);
    let first = run(send(&layer));
    let copies = TOKEN.copies();
    let second = run(send(&layer));
    assert_eq!(TOKEN.copies(), copies, "one more request makes no copy");
    drop(layer);
    drop(first);
    assert_eq!(TOKEN.copies(), 1, "both requests share one");
    drop(second);
    assert_eq!(TOKEN.copies(), 0);
}

#[test]
fn o6_a_token_that_has_a_successor_is_wiped_though_its_layer_lives_on() {
    const TOKEN: Masked<52> = Masked::new(b"wiped-token-with-a-successor-L7DxtpYlSXpfKtHF4vUCsMe");
    let layer = layer(TOKEN);
    run(async {
        drop(send(&layer).await);
        assert!(TOKEN.copies() >= 1);
        layer.handle().refresh().await.unwrap();
        assert_eq!(send(&layer).await, "Bearer another");
    });
    assert_eq!(TOKEN.copies(), 0);
}

#[test]
fn o6_a_secret_is_wiped_with_the_last_clone_of_its_credentials() {
    static SECRET: Masked<52> = Masked::new(b"wiped-secret-of-two-clones-hGAkWvj7FAc9QeWJKY40uvSwM");
    let credentials = Credentials::new("id", SECRET.reveal_long());
    let clone = credentials.clone();
    drop(credentials);
    assert_eq!(SECRET.copies(), 1);
    drop(clone);
    assert_eq!(SECRET.copies(), 0);
}

#[test]
fn o6_a_secret_is_wiped_when_it_is_rotated() {
    static SECRET: Masked<52> = Masked::new(b"wiped-secret-of-a-rotation-FLZDe1f8rESQedUStPKR0CsTy");
    let credentials = Credentials::new("id", SECRET.reveal_long());
    assert_eq!(SECRET.copies(), 1);
    credentials.rotate("another");
    assert_eq!(SECRET.copies(), 0);
}

#[test]
fn o6_a_secret_that_has_signed_is_wiped() {
    const TOKEN: Masked<1> = Masked::new(b"t");
    static SECRET: Masked<52> = Masked::new(b"wiped-secret-of-a-signature-4Qwb8DwkNhFdnXsiVpzz63Ff");
    let credentials = Credentials::new("id", SECRET.reveal());
    let builder = AuthLayer::builder(First(TOKEN, AtomicUsize::new(0))).any_origin();
    let layer = builder.sign(SignRules::all(), TimestampHmac::sha256(credentials)).build().unwrap();
    run(send(&layer));
    assert!(SECRET.copies() >= 1);
    drop(layer);
    assert_eq!(SECRET.copies(), 0);
}

/// A tenant is removed while one of its requests is on its way, and another tenant's go on.
#[test]
fn k5_the_secrets_of_a_removed_key_are_wiped_when_its_last_request_is_done() {
    const TOKEN: Masked<52> = Masked::new(b"wiped-token-of-a-removed-key-q7Lm3Xv9Zk2Rb8Wn4Tc6Hy5");
    static SECRET: Masked<52> = Masked::new(b"wiped-secret-of-a-removed-key-q7Lm3Xv9Zk2Rb8Wn4PzEu1");
    const OTHER: Masked<52> = Masked::new(b"token-of-a-key-that-is-left-alone-q7Lm3Xv9Zk2RbFgS0a");
    let keyed = KeyedAuthLayer::builder(|tenant: &u8| {
        let credentials = Credentials::new("id", if *tenant == 1 { SECRET.reveal_long() } else { "other".into() });
        let source = First(if *tenant == 1 { TOKEN } else { OTHER }, AtomicUsize::new(0));
        AuthLayer::builder(source).any_origin().sign(SignRules::all(), TimestampHmac::sha256(credentials)).build()
    })
    .build();
    let (sent, gate) = (Arc::new(Mutex::new(None)), Arc::new(tokio::sync::Notify::new()));
    let (kept, open) = (Arc::clone(&sent), Arc::clone(&gate));
    let api = service_fn(move |request: Request<Full<Bytes>>| {
        let open = Arc::clone(&open);
        *kept.lock().unwrap() = Some(request);
        async move {
            open.notified().await;
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }
    });
    let request = |tenant: u8| Request::get("https://api.example.com").extension(tenant).body(Full::default()).unwrap();
    run(async {
        for tenant in [2, 1] {
            gate.notify_one();
            keyed.layer(api.clone()).oneshot(request(tenant)).await.unwrap();
        }
        let on_its_way = tokio::spawn(keyed.layer(api.clone()).oneshot(request(1)));
        tokio::task::yield_now().await;
        assert!(keyed.remove(&1));
        assert!(TOKEN.copies() >= 1 && SECRET.copies() >= 1, "the request on its way may be replayed");
        gate.notify_one();
        on_its_way.await.unwrap().unwrap();
        drop(sent.lock().unwrap().take());
        assert_eq!((TOKEN.copies(), SECRET.copies()), (0, 0), "the layer and the other tenant live on");
    });
    assert_eq!(keyed.len(), 1);
}

/// Sends a token request with this secret, and gives back what was sent.
fn ask(secret: SecretString, method: ClientAuth, answer: impl Fn() -> Bytes + Clone + Send + Sync + 'static) -> Sent {
    let sent = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&sent);
    let transport = service_fn(move |request: Request<Full<Bytes>>| {
        let (kept, answer) = (Arc::clone(&kept), answer.clone());
        async move {
            let (mut head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            *kept.lock().unwrap() = Some((body, head.headers.remove(AUTHORIZATION)));
            Ok::<_, BoxError>(Response::new(Full::new(answer())))
        }
    });
    let builder = ClientCredentialsGrant::builder(URL, Credentials::new("id", secret)).client_auth(method);
    // Something long after the secret, for which a form that grows would have to move.
    let builder = builder.scope("scope ".repeat(30));
    let source = builder.transport(transport).build().unwrap();
    let token = run(source.fetch(FetchRequest::new())).ok();
    let (body, authorization) = sent.lock().unwrap().take().unwrap();
    Sent { source, token, body, authorization }
}

struct Sent {
    source: ClientCredentialsGrant,
    token: Option<AccessToken>,
    body: Bytes,
    authorization: Option<HeaderValue>,
}

fn some_token() -> Bytes {
    Bytes::from_static(br#"{"access_token":"t"}"#)
}

#[test]
fn o6_the_body_of_a_token_request_is_wiped() {
    static SECRET: Masked<52> = Masked::new(b"wiped-secret-of-a-form-body-kCzJr4i0B3JrTAwR4y9ojflj");
    let sent = ask(SECRET.reveal(), ClientAuth::Body, some_token);
    assert_eq!(SECRET.copies(), 2, "the credentials have it, and the body");
    drop(sent.body);
    assert_eq!(SECRET.copies(), 1, "the credentials have it");
    drop(sent.source);
    assert_eq!((SECRET.copies(), sent.token.is_some()), (0, true), "the token does not keep it");
}

#[test]
fn o6_the_basic_header_of_a_token_request_is_wiped() {
    static SECRET: Masked<52> = Masked::new(b"wiped-secret-of-the-basic-header-oQoaF1LlqsajAIxNKu8");
    static BASE64: Masked<68> = Masked::new(b"d2lwZWQtc2VjcmV0LW9mLXRoZS1iYXNpYy1oZWFkZXItb1FvYUYxTGxxc2FqQUl4Tkt1");
    for method in [ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        let sent = ask(SECRET.reveal_long(), method, some_token);
        assert!(BASE64.copies() >= 1, "the header has it");
        drop(sent.authorization);
        assert_eq!((BASE64.copies(), SECRET.copies()), (0, 1), "{method:?}: the credentials have it");
        drop(sent.source);
        assert_eq!(SECRET.copies(), 0);
    }
}

#[test]
fn o6_an_answer_is_wiped_once_its_token_is_read() {
    static TOKEN: Masked<52> = Masked::new(b"wiped-token-out-of-an-answer-iS2G8NPRVdD53X83RZJzzzz");
    let sent =
        ask(SecretString::from("key"), ClientAuth::Body, || TOKEN.between(r#"{"access_token":""#, PADDING, r#""}"#));
    assert!(sent.token.is_some());
    assert_eq!(TOKEN.copies(), 1);
    drop(sent);
    assert_eq!(TOKEN.copies(), 0);
}

#[test]
fn o6_an_answer_with_escapes_is_wiped_once_its_token_is_read() {
    static TOKEN: Masked<52> = Masked::new(b"wiped-token-after-an-escape-gEOzdmenCkhvMdgaKjIg8xNb");
    let answer = || TOKEN.between(r#"{"access_token":"a\/b"#, "", r#"\/c"}"#);
    let sent = ask(SecretString::from("key"), ClientAuth::Body, answer);
    let token = sent.token.as_ref().unwrap();
    assert!(token.expose_secret().starts_with("a/b") && token.expose_secret().ends_with("/c"));
    drop(sent);
    assert_eq!(TOKEN.copies(), 0, "JSON may escape a slash, as PHP does");
}

#[test]
fn o6_an_answer_with_any_escapes_is_wiped_once_its_token_is_read() {
    static TOKEN: Masked<52> = Masked::new(b"wiped-token-between-escapes-b3Kq0ZtW9vYxR2uHn5LmJ7pG");
    let answer = || TOKEN.between(r#"{"access_token":"\u0041\"\\"#, PADDING, r#"\u007a","x":1}"#);
    let sent = ask(SecretString::from("key"), ClientAuth::Body, answer);
    let token = sent.token.as_ref().unwrap();
    assert!(token.expose_secret().starts_with(r#"A"\x"#) && token.expose_secret().ends_with('z'));
    assert_eq!(TOKEN.copies(), 1);
    drop(sent);
    assert_eq!(TOKEN.copies(), 0);
}

#[test]
fn o6_a_parameter_is_wiped_with_its_grant_and_with_each_body() {
    static PARAM: Masked<52> = Masked::new(b"wiped-param-of-a-token-body-Xc41Vt8sKq2LwZ7bNm3RyPd9");
    let transport =
        service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(Full::new(some_token()))) });
    for is_json in [false, true] {
        let builder = ClientCredentialsGrant::builder(URL, Credentials::new("id", "key")).transport(transport);
        let builder = if is_json { builder.json_body() } else { builder };
        let grant = builder.param("key", PARAM.reveal_long().expose_secret()).build().unwrap();
        run(grant.fetch(FetchRequest::new())).unwrap();
        assert_eq!(PARAM.copies(), 1, "the grant has it");
        drop(grant);
        assert_eq!(PARAM.copies(), 0);
    }
}

#[test]
fn o6_an_answer_that_is_refused_is_wiped() {
    static TOKEN: Masked<52> = Masked::new(b"wiped-token-that-was-refused-e3nNyjOq9wMxEhh2FDEEtfj");
    for end in [r#"","token_type":"mac"}"#, r#"","error":"x"}"#, r#"","error":{"x":1}}"#] {
        let answer = move || TOKEN.between(r#"{"access_token":""#, PADDING, end);
        let sent = ask(SecretString::from("key"), ClientAuth::Body, answer);
        assert!(sent.token.is_none());
        assert_eq!(TOKEN.copies(), 0, "{end}");
    }
}

#[test]
fn o6_an_assertion_is_wiped_once_it_is_sent() {
    static ASSERTION: Masked<52> = Masked::new(b"wiped-assertion-of-a-source-Zq7TnXc2VbR9yKfLm4HsWd0P");
    struct Source;
    impl AssertionSource for Source {
        fn assertion<'a>(
            &'a self,
            _request: AssertionRequest<'a>,
        ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
            Box::pin(ready(Ok(Assertion::jwt(ASSERTION.reveal()))))
        }
    }
    let sent = ask_with(Source, false);
    assert_eq!(ASSERTION.copies(), 1, "the body has it");
    drop(sent.body);
    assert_eq!(ASSERTION.copies(), 0);
    let sent = ask_with(Source, true);
    assert_eq!(ASSERTION.copies(), 1, "the JSON body has it");
    drop(sent);
    assert_eq!(ASSERTION.copies(), 0);
}

#[test]
fn o6_an_assertion_from_a_file_is_wiped_once_it_is_sent() {
    static ASSERTION: Masked<52> = Masked::new(b"wiped-assertion-of-a-file-o4YbGh8Jt1QxNvCw3EuRkZs6Mf");
    let path = std::env::temp_dir().join(format!("wiped-assertion-{}", std::process::id()));
    std::fs::write(&path, ASSERTION.reveal().expose_secret()).unwrap();
    let sent = ask_with(AssertionFile::new(&path), false);
    assert_eq!(ASSERTION.copies(), 1, "the body has it");
    drop(sent);
    assert_eq!(ASSERTION.copies(), 0);
    std::fs::remove_file(path).unwrap();
}

/// The same as [`ask`], with an assertion.
fn ask_with(source: impl AssertionSource, json: bool) -> Sent {
    let sent = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&sent);
    let transport = service_fn(move |request: Request<Full<Bytes>>| {
        let kept = Arc::clone(&kept);
        async move {
            *kept.lock().unwrap() = Some(request.into_body().collect().await?.to_bytes());
            Ok::<_, BoxError>(Response::new(Full::new(some_token())))
        }
    });
    let builder = ClientCredentialsGrant::builder(URL, Credentials::without_secret("id")).client_assertion(source);
    let builder = if json { builder.json_body() } else { builder };
    let source = builder.scope("scope ".repeat(30)).transport(transport).build().unwrap();
    let token = run(source.fetch(FetchRequest::new())).ok();
    let body = sent.lock().unwrap().take().unwrap();
    Sent { source, token, body, authorization: None }
}

#[test]
fn o6_a_secret_that_was_replaced_in_its_file_is_wiped_once_the_new_one_is_known() {
    static SECRET: Masked<52> = Masked::new(b"wiped-secret-of-a-secret-file-Xp5LtBn9KdVs2JrGyQw7hC");
    let folder = std::env::temp_dir().join(format!("wiped-secret-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let [id, secret] = ["id", "secret"].map(|name| folder.join(name));
    std::fs::write(&id, "id").unwrap();
    std::fs::write(&secret, SECRET.reveal().expose_secret()).unwrap();
    let credentials = Credentials::from_files(&id, &secret).unwrap();
    assert_eq!(SECRET.copies(), 1);
    let transport =
        service_fn(|_: Request<Full<Bytes>>| ready(Ok::<_, BoxError>(Response::new(Full::new(some_token())))));
    let source = ClientCredentialsGrant::builder(URL, credentials).transport(transport).build().unwrap();
    drop(run(source.fetch(FetchRequest::new())).unwrap());
    assert_eq!(SECRET.copies(), 1);
    std::fs::write(&secret, "another").unwrap();
    drop(run(source.fetch(FetchRequest::new())).unwrap());
    assert_eq!(SECRET.copies(), 0);
    std::fs::remove_dir_all(folder).unwrap();
}

//! The promises about tokens, kept with an assertion in place of a secret: one fetch for all, outages, rejections, and
//! sources that are slow, fail, panic or change under load.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Request, Response, header::AUTHORIZATION};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    oauth::{Assertion, AssertionFile, AssertionRequest, AssertionSource, ClientCredentialsGrant},
    token::{FetchRequest, TokenSource},
};

use crate::support::{
    Body, get,
    keys::Folder,
    token_server::{Asked, TOKEN_URL, endpoint, reply},
};

const SECOND: Duration = Duration::from_secs(1);

/// Signs after a while, or fails, or panics.
#[derive(Clone)]
struct Signer(Arc<State>);

struct State {
    made: AtomicUsize,
    takes: Duration,
    failure: Mutex<Option<ErrorKind>>,
    panics: AtomicBool,
}

impl Signer {
    fn new(takes: Duration) -> Self {
        Self(Arc::new(State {
            made: AtomicUsize::new(0),
            takes,
            failure: Mutex::default(),
            panics: AtomicBool::new(false),
        }))
    }

    fn fail(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.0.failure.lock().unwrap() = kind.into();
    }

    fn made(&self) -> usize {
        self.0.made.load(SeqCst)
    }
}

impl AssertionSource for Signer {
    fn assertion<'a>(
        &'a self,
        _request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        let number = self.0.made.fetch_add(1, SeqCst);
        Box::pin(async move {
            sleep(self.0.takes).await;
            assert!(!self.0.panics.load(SeqCst), "a source of assertions that panics");
            let failure = *self.0.failure.lock().unwrap();
            failure.map_or_else(
                || Ok(Assertion::jwt(format!("a.{number}.c"))),
                |kind| Err(AuthError::new(kind, "the key service said no")),
            )
        })
    }
}

/// A grant whose tokens are numbered, live for 100 s and are as many as were asked for.
fn grant(source: impl AssertionSource) -> (Asked, ClientCredentialsGrant) {
    let (asked, transport) =
        endpoint(|nth| Ok(reply(200, &[], format!(r#"{{"access_token":"t{nth}","expires_in":100}}"#))));
    let builder = ClientCredentialsGrant::builder(TOKEN_URL, Credentials::without_secret("id"));
    (asked, builder.client_assertion(source).transport(transport).build().unwrap())
}

fn layer(source: impl AssertionSource) -> (Asked, AuthLayer) {
    let (asked, grant) = grant(source);
    (asked, AuthLayer::builder(grant).any_origin().build().unwrap())
}

/// The assertions that were sent.
fn sent(asked: &Asked) -> Vec<String> {
    let assertion = |body| url::form_urlencoded::parse(body).find(|(name, _)| name == "client_assertion").unwrap().1;
    asked.lock().unwrap().iter().map(|request| assertion(request.body()).into_owned()).collect()
}

/// An API that takes every token but the revoked ones.
fn api(
    revoked: &Arc<Mutex<HashSet<String>>>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + use<> {
    let revoked = Arc::clone(revoked);
    service_fn(move |request: Request<Body>| {
        let token = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
        let status = if revoked.lock().unwrap().contains(&token) { 401 } else { 200 };
        std::future::ready(Ok(reply(status, &[], token)))
    })
}

#[tokio::test(start_paused = true)]
async fn t1_a_signer_that_takes_five_seconds_signs_once_for_a_thousand_callers() {
    let signer = Signer::new(5 * SECOND);
    let (asked, layer) = layer(signer.clone());
    let client = layer.layer(api(&Arc::default()));
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..1_000 {
        callers.spawn(client.clone().oneshot(get("/a")));
    }
    for response in callers.join_all().await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!((signer.made(), asked.lock().unwrap().len()), (1, 1));
    assert!(begin.elapsed() < 6 * SECOND);
    // Refreshed ahead of its end, nobody waits for the signer again.
    for _ in 0..300 {
        sleep(SECOND).await;
        let begin = Instant::now();
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        assert!(begin.elapsed() <= Duration::from_millis(1));
    }
    assert!((4..=5).contains(&signer.made()), "{}", signer.made());
}

#[tokio::test(start_paused = true)]
async fn t4_a_signer_that_is_down_is_invisible_while_the_token_lives_and_heals_by_itself() {
    let signer = Signer::new(Duration::ZERO);
    let (asked, layer) = layer(signer.clone());
    let client = layer.layer(api(&Arc::default()));
    client.clone().oneshot(get("/a")).await.unwrap();
    signer.fail(ErrorKind::Unavailable);
    for _ in 0..85 {
        sleep(SECOND).await;
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    }
    assert!(signer.made() > 3, "it was asked");
    sleep(20 * SECOND).await;
    let error = client.clone().oneshot(get("/a")).await.unwrap_err();
    assert_eq!(AuthError::find(error.as_ref()).unwrap().kind(), ErrorKind::Unavailable);
    let (made, begin) = (signer.made(), Instant::now());
    for _ in 0..100 {
        client.clone().oneshot(get("/a")).await.unwrap_err();
    }
    assert!(signer.made() == made && begin.elapsed() < SECOND, "t8: the backoff");
    signer.fail(None);
    sleep(61 * SECOND).await;
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn t3_all_share_the_error_of_a_signer_and_one_that_refuses_is_asked_once() {
    for (kind, asked_for) in [(ErrorKind::Signing, 1), (ErrorKind::Config, 1), (ErrorKind::Unavailable, 3)] {
        let signer = Signer::new(SECOND);
        signer.fail(kind);
        let (asked, layer) = layer(signer.clone());
        let handle = layer.handle();
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let handle = handle.clone();
            callers.spawn(async move { handle.token().await.map(drop) });
        }
        for result in callers.join_all().await {
            assert_eq!(result.unwrap_err().kind(), kind);
        }
        assert_eq!((signer.made(), asked.lock().unwrap().len()), (asked_for, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn t2_a_signer_that_panics_or_never_ends_blocks_nobody() {
    let signer = Signer::new(Duration::ZERO);
    signer.0.panics.store(true, SeqCst);
    let (_, layer) = layer(signer.clone());
    assert_eq!(layer.handle().token().await.unwrap_err().kind(), ErrorKind::Aborted);
    signer.0.panics.store(false, SeqCst);
    layer.handle().refresh().await.unwrap();

    let (asked, endless) = self::layer(Signer::new(Duration::MAX));
    let begin = Instant::now();
    assert_eq!(endless.handle().token().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!((begin.elapsed().as_secs(), asked.lock().unwrap().len()), (30, 0));
}

#[tokio::test(start_paused = true)]
async fn r4_a_revocation_costs_one_assertion_and_every_call_is_served() {
    let (signer, revoked) = (Signer::new(Duration::from_millis(50)), Arc::default());
    let (asked, layer) = layer(signer.clone());
    let client = layer.layer(api(&revoked));
    client.clone().oneshot(get("/a")).await.unwrap();
    for revocation in 0..5 {
        revoked.lock().unwrap().insert(format!("Bearer t{revocation}"));
        let mut callers = JoinSet::new();
        for _ in 0..50 {
            callers.spawn(client.clone().oneshot(get("/a")));
        }
        for response in callers.join_all().await {
            assert_eq!(response.unwrap().status(), 200);
        }
        assert_eq!((signer.made(), asked.lock().unwrap().len()), (revocation + 2, revocation + 2));
        sleep(30 * SECOND).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_under_load_is_always_read_whole() {
    let folder = Arc::new(Folder::new());
    let text = |number: usize| format!("a.{}.{number}", "x".repeat(5_000));
    let path = folder.write("token", text(0));
    let (asked, grant) = grant(AssertionFile::new(path));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (grant, is_over) = (grant.clone(), Arc::clone(&is_over));
        readers.spawn(async move {
            while !is_over.load(SeqCst) {
                grant.fetch(FetchRequest::new()).await.unwrap();
            }
        });
    }
    let writer = Arc::clone(&folder);
    let written =
        tokio::task::spawn_blocking(move || (1..=300).for_each(|number| drop(writer.write("token", text(number)))));
    written.await.unwrap();
    is_over.store(true, SeqCst);
    readers.join_all().await;
    let mut seen = HashSet::new();
    for assertion in sent(&asked) {
        let number = assertion.rsplit('.').next().unwrap().parse().unwrap();
        assert_eq!(assertion, text(number));
        seen.insert(number);
    }
    assert!(seen.len() > 3, "{} versions were seen", seen.len());
}

#[tokio::test]
async fn t9_a_file_that_is_empty_for_a_moment_costs_an_attempt_and_no_call() {
    let folder = Folder::new();
    let path = folder.write("token", "");
    let (asked, layer) = layer(AssertionFile::new(&path));
    let handle = layer.handle();
    let call = tokio::spawn(async move { handle.token().await.map(drop) });
    sleep(Duration::from_millis(20)).await;
    folder.write("token", "a.b.c");
    call.await.unwrap().unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[cfg(feature = "jwt")]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_replaced_under_load_signs_with_the_one_or_the_other() {
    use std::sync::RwLock;

    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use tower_outbound_auth::oauth::{Algorithm, Audience, PrivateKeyJwt};

    use crate::support::keys::key;

    let signer =
        |algorithm, pem| PrivateKeyJwt::from_pem(algorithm, Audience::TokenEndpoint, key(pem)).unwrap().key_id(pem);
    let keys = [(Algorithm::Es256, "p256"), (Algorithm::EdDsa, "ed25519"), (Algorithm::Ps256, "rsa4096")];
    let source = Arc::new(Keys(RwLock::new(signer(keys[0].0, keys[0].1))));
    let (asked, grant) = grant(Arc::clone(&source));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let grant = grant.clone();
        callers.spawn(async move {
            for _ in 0..40 {
                grant.fetch(FetchRequest::new()).await.unwrap();
            }
        });
    }
    for number in 0..60 {
        let (algorithm, pem) = keys[number % 3];
        *source.0.write().unwrap() = signer(algorithm, pem);
        tokio::task::yield_now().await;
    }
    callers.join_all().await;
    let names = [("p256", "ES256"), ("ed25519", "EdDSA"), ("rsa4096", "PS256")];
    for assertion in sent(&asked) {
        let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().unwrap()).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        let pair = (header["kid"].as_str().unwrap(), header["alg"].as_str().unwrap());
        assert!(names.contains(&pair), "{pair:?}");
    }
    assert_eq!(asked.lock().unwrap().len(), 320);
}

/// Changes its key as a program may.
#[cfg(feature = "jwt")]
struct Keys(std::sync::RwLock<tower_outbound_auth::oauth::PrivateKeyJwt>);

#[cfg(feature = "jwt")]
impl AssertionSource for Keys {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        let current = self.0.read().unwrap().clone();
        Box::pin(async move { current.assertion(request).await })
    }
}

//! Every public path, name and signature that users write, so that none changes unnoticed.

use std::{
    borrow::Cow,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use http_body_util::{Full, combinators::BoxBody};
use tower::Layer;
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, BoxError, Credentials, ErrorKind, NoAuth, ResponseFuture,
    client::{HttpsClient, HttpsClientBuilder},
    fleet::{
        Lookup, MemoryStore, SealedToken, SharedTokenSource, SharedTokenSourceBuilder, StoreFuture, TokenStore,
        conformance,
    },
    keyed::{KeyedAuth, KeyedAuthLayer, KeyedAuthLayerBuilder},
    oauth::{
        Assertion, AssertionFile, AssertionRequest, AssertionSource, ClientAuth, ClientCredentialsGrant,
        ClientCredentialsGrantBuilder,
    },
    paynet::{self, PayNetLayer},
    rejection::{NotReplayed, Rejection},
    replay::{CloneBody, NoReplay, Replay, ReplayBody},
    sandbox::{Fault, FaultKind, RejectionStyle, Sandbox, SandboxBuilder, Stats},
    secrecy::SecretString,
    signing::{Sign, SignRules, SignatureHeaders, Signer, SigningContext, TimestampHmac, signer_fn},
    token::{
        AccessToken, FetchRequest, KeepWarm, RefreshPolicy, SourceFn, TokenHandle, TokenSource, TokenState,
        TokenStatus, source_fn,
    },
};

type Source = Box<dyn TokenSource>;

fn builder(source: Source) -> Result<AuthLayer<NoReplay>, AuthError> {
    AuthLayer::builder(source)
        .origin("https://api.example.com")
        .any_origin()
        .allow_insecure_http()
        .allow_relative_uri()
        .sign(SignRules::all(), signer_fn(|_: &SigningContext<'_>| Ok(SignatureHeaders::new())))
        .header(HeaderName::from_static("x-a"), HeaderValue::from_static("b"))
        .overwrite_authorization()
        .token_header(http::header::AUTHORIZATION, "Token")
        .reject_when(|parts| (parts.status == 419).then_some(Rejection::Token))
        .accept_when(|parts| parts.status == 401)
        .name("api")
        .refresh(RefreshPolicy::default())
        .max_wait(Duration::from_secs(1))
        .replay(NoReplay)
        .build()
}

fn policy() -> RefreshPolicy {
    let second = Duration::from_secs(1);
    RefreshPolicy::default()
        .refresh_at(0.5)
        .jitter(0.1)
        .expiry_margin(second)
        .default_lifetime(second)
        .deadline(second)
        .attempts(1)
        .failure_backoff(second, second)
        .refusal_backoff(second, second)
        .renewal_budget(4, second)
}

/// Signs nothing.
struct NoKey;

impl AssertionSource for NoKey {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        let _: (&'a str, &'a str, Option<&'a str>, SystemTime) =
            (request.client_id(), request.token_endpoint(), request.issuer(), request.now());
        Box::pin(async { Ok(Assertion::jwt(SecretString::from("a.b.c")).with_type("urn:x")) })
    }
}

fn asserting(client: HttpsClient) -> Result<ClientCredentialsGrant, AuthError> {
    let shared: Arc<dyn AssertionSource> = Arc::new(NoKey);
    let boxed: Box<dyn AssertionSource> = Box::new(shared);
    let file: AssertionFile = AssertionFile::new("/a").with_type("urn:x");
    ClientCredentialsGrant::discover("https://login.example.com", Credentials::without_secret("id"))
        .client_assertion(file)
        .client_assertion(boxed)
        .omit_client_id()
        .transport(client)
        .build()
}

#[cfg(feature = "jwt")]
fn signing(pem: &[u8]) -> Result<ClientCredentialsGrantBuilder, AuthError> {
    use tower_outbound_auth::oauth::{Algorithm, Audience, PrivateKeyJwt};

    let _ = [Algorithm::Ps256, Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    let _ = [Audience::TokenEndpoint, Audience::Issuer, Audience::Custom(String::new())];
    let key: PrivateKeyJwt = PrivateKeyJwt::from_pem(Algorithm::Ps256, Audience::Issuer, pem)?
        .key_id("k")
        .certificate_thumbprint(pem)?
        .lifetime(Duration::from_secs(60))
        .token_type("JWT");
    let builder = ClientCredentialsGrant::builder("https://login.example.com", Credentials::without_secret("id"));
    Ok(builder.client_assertion(key))
}

fn from_files() -> Result<Credentials, AuthError> {
    Credentials::from_files("/run/id", std::path::Path::new("/run/secret"))
}

fn grant(credentials: Credentials, client: HttpsClient) -> Result<ClientCredentialsGrant, AuthError> {
    ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
        .client_auth(ClientAuth::Basic)
        .scope("a")
        .audience("b")
        .resource("https://c.example.com")
        .param("d", "e")
        .header(HeaderName::from_static("x-a"), HeaderValue::from_static("b"))
        .grant_type("client_credentials")
        .json_body()
        .accept_token_type("mac")
        .timeout(Duration::from_secs(1))
        .allow_insecure_http()
        .transport(client)
        .build()
}

fn client() -> Result<HttpsClient, AuthError> {
    let builder: HttpsClientBuilder = HttpsClient::builder()
        .root_certificates("")
        .mozilla_roots()
        .identity("", "")
        .proxy("http://proxy.example.com:3128")
        .proxy_credentials("user", SecretString::from("password"))
        .no_proxy("localhost")
        .proxy_from_env()
        .http1_only()
        .pool_idle_timeout(Duration::from_secs(30));
    builder.build()
}

async fn handle(handle: TokenHandle) -> Result<(), AuthError> {
    let token: AccessToken = handle.token().await?;
    let _: AccessToken = handle.refresh().await?;
    handle.invalidate(&token);
    let TokenStatus { state, expires_in, issued, failures, last_error, .. } = handle.status();
    let _: (TokenState, Option<Duration>, u64, u64, Option<AuthError>) =
        (state, expires_in, issued, failures, last_error);
    let _: KeepWarm = handle.keep_warm();
    Ok(())
}

type FutureOfClient = ResponseFuture<HttpsClient, NoReplay, Full<Bytes>, BoxBody<Bytes, BoxError>>;

#[test]
fn the_signatures_that_users_write_compile() {
    let _ = (builder, policy, grant, client, handle, dynamic, paynet_layer, asserting, from_files);
    #[cfg(feature = "jwt")]
    let _ = signing;
    let _ = (Sign::Always, Sign::Never, NoAuth, FaultKind::Reset, RejectionStyle::Unauthorized401);
    let _: fn(Fault, Stats, SandboxBuilder, Sandbox) = |_, _, _, _| ();
    let _: (HeaderName, HeaderName, HeaderName) = (paynet::X_TIMESTAMP, paynet::X_SIGNATURE, paynet::X_FIID);
    let _: Option<FutureOfClient> = None;
    let _: Option<SourceFn<fn()>> = None;
}

/// A source as the documentation has it.
struct Fixed;

impl TokenSource for Fixed {
    fn fetch(
        &self,
        request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        let _: (Option<&AccessToken>, SystemTime) = (request.rejected(), request.now());
        Box::pin(async { AccessToken::new("token", None) })
    }

    fn generation(&self) -> u64 {
        0
    }

    fn identity(&self) -> Option<[u8; 32]> {
        None
    }
}

fn dynamic() -> Source {
    let shared = Arc::new(String::from("token"));
    let closure = source_fn(move |_request| {
        let shared = Arc::clone(&shared);
        async move { AccessToken::new(shared.as_str(), Some(Duration::from_secs(1))) }
    });
    let _ = FetchRequest::new().with_rejected(AccessToken::new("a", None).unwrap());
    let _: Arc<dyn TokenSource> = Arc::new(Fixed);
    Box::new(closure)
}

fn paynet_layer(credentials: Credentials) -> Result<(), AuthError> {
    let environment = paynet::Environment::custom("https://a.example.com/token", "https://a.example.com")?;
    let _: String = format!("{environment} {} {}", environment.token_url(), environment.api_origin());
    let layer: PayNetLayer = paynet::layer(&environment, credentials.clone())?;
    let built: AuthLayer = paynet::auth(&environment, credentials.clone())?.build()?;
    let _: PayNetLayer = PayNetLayer::from(built);
    let _: ClientCredentialsGrantBuilder = paynet::grant(&environment, credentials);
    let _: Auth<paynet::Rejections<HttpsClient>, CloneBody> = layer.layer(HttpsClient::new()?);
    let _: TokenHandle = layer.handle();
    Ok(())
}

#[test]
fn a_keyed_layer_has_the_signatures_that_users_write() {
    let make = |_: &u64| AuthLayer::builder(Fixed).any_origin().replay(NoReplay).build();
    let builder: KeyedAuthLayerBuilder<u64, NoReplay> = KeyedAuthLayer::builder(make);
    let by_head = |head: &http::request::Parts| head.headers.len().try_into().ok();
    let keyed: KeyedAuthLayer<u64, NoReplay> =
        builder.key(by_head).capacity(2).idle_timeout(Duration::from_secs(1)).build();
    let handle: Result<TokenHandle, AuthError> = keyed.handle(&7);
    let (removed, len, is_empty): (bool, usize, bool) = (keyed.remove(&7), keyed.len(), keyed.is_empty());
    assert_eq!((handle.is_ok(), removed, len, is_empty), (true, true, 0, true));
    let mut service: KeyedAuth<HttpsClient, u64, NoReplay> = keyed.layer(HttpsClient::new().unwrap());
    let _: HttpsClient = service.clone().into_inner();
    let _: &mut HttpsClient = service.get_mut();
    let call = |service: &mut KeyedAuth<HttpsClient, u64, NoReplay>, request| -> FutureOfClient {
        tower::Service::call(service, request)
    };
    let _ = (service.get_ref(), call);
}

#[test]
fn credentials_and_errors_have_the_constructors_that_the_documentation_names() {
    let credentials = Credentials::new("id", SecretString::from("secret"));
    credentials.rotate("other");
    let _: &str = credentials.client_id();
    let _ = Credentials::without_secret("id");
    assert!(Credentials::from_env("TOWER_OUTBOUND_AUTH_UNSET", "TOWER_OUTBOUND_AUTH_UNSET_TOO").is_err());
    let _: [AuthError; 2] =
        [AuthError::new(ErrorKind::Config, String::new()), AuthError::new(ErrorKind::Config, Cow::Borrowed("no"))];
    let error = AuthError::new(ErrorKind::Denied, "no").with_source(std::io::Error::other("cause"));
    let _: (Option<Duration>, Option<&str>, Option<&str>) =
        (error.retry_after(), error.oauth_error(), error.oauth_error_description());
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Denied, false));
    assert!(AuthError::find(&error).is_some());
    assert_eq!(TokenState::Stale.to_string(), "stale");
    let kinds = [
        (ErrorKind::Config, "config"),
        (ErrorKind::Denied, "denied"),
        (ErrorKind::Malformed, "malformed"),
        (ErrorKind::Signing, "signing"),
        (ErrorKind::Timeout, "timeout"),
        (ErrorKind::Unavailable, "unavailable"),
        (ErrorKind::Aborted, "aborted"),
    ];
    for (kind, name) in kinds {
        assert_eq!(format!("{kind:>12}"), format!("{name:>12}"));
    }
    assert!(!NotReplayed::Throttled.to_string().is_empty());
}

#[test]
fn a_replay_policy_has_three_questions() {
    #[derive(Clone)]
    struct Policy;
    impl Replay<String> for Policy {
        fn clone_body(&self, body: &String) -> Option<String> {
            Some(body.clone())
        }
        fn is_complete(&self, _copy: &String) -> bool {
            true
        }
        fn reserve(&self, copy: &String) -> bool {
            self.is_complete(copy)
        }
    }
    let body = ReplayBody::new(Full::new(Bytes::new()), 10);
    assert!(body.try_clone().is_some_and(|copy: ReplayBody<Full<Bytes>>| copy.is_complete()));
    assert!(Policy.reserve(&String::new()));
}

#[test]
fn a_signing_context_can_be_made_for_the_test_of_a_signer() {
    let (method, uri, headers) = (Method::GET, Uri::from_static("https://a.example.com/"), http::HeaderMap::new());
    let token = AccessToken::new("a", None).unwrap().with_scope("b").with_response_field("c", "d");
    let context = SigningContext::new(&method, &uri, &headers, &token, SystemTime::UNIX_EPOCH);
    let _ = (context.method(), context.uri(), context.headers(), context.token(), context.now());
    let signature = TimestampHmac::sha256(Credentials::new("id", "key"))
        .headers(HeaderName::from_static("x-a"), HeaderName::from_static("x-b"))
        .sign(&context)
        .unwrap();
    assert!(signature.get(&HeaderName::from_static("x-b")).is_some());
    assert_eq!((token.scope(), token.response_field("c"), token.expires_in()), (Some("b"), Some("d"), None));
    let _: SignRules = SignRules::paths(["/{*rest}"]).unwrap().only([Method::GET]).only([]);
    let _ = SignRules::matching(|_: &Method, _: &Uri| true);
}

#[cfg(feature = "reqwest")]
#[test]
fn the_module_of_reqwest_has_its_names() {
    use tower_outbound_auth::reqwest::{AuthMiddleware, RequestBody, ReqwestService, auth_error, redirect_policy};

    #[derive(Clone)]
    struct Policy;
    impl Replay<RequestBody> for Policy {
        fn clone_body(&self, body: &RequestBody) -> Option<RequestBody> {
            let _: Option<&[u8]> = body.as_bytes();
            body.try_clone()
        }
    }
    let source = || source_fn(|_| async { AccessToken::new("a", None) });
    let layer = AuthLayer::builder(source()).any_origin().replay(Policy).build().unwrap();
    let _: AuthMiddleware = layer.clone().into();
    let _: AuthMiddleware = PayNetLayer::from(layer).into();
    let _: fn(&reqwest_middleware::Error) -> Option<&AuthError> = auth_error;
    let policy: reqwest::redirect::Policy = redirect_policy();
    let client: reqwest::Client = reqwest::Client::builder().redirect(policy).build().unwrap();
    let _: ReqwestService = ReqwestService::new(client).clone();
}

fn shared(
    inner: ClientCredentialsGrant,
    credentials: &Credentials,
    store: Box<dyn TokenStore>,
) -> Result<SharedTokenSource<ClientCredentialsGrant>, AuthError> {
    let builder: SharedTokenSourceBuilder<_> = SharedTokenSource::builder(inner, store);
    builder
        .credentials(credentials)
        .sealing_key("current", Some(SecretString::from("previous")))
        .identity("a")
        .lease(Duration::from_secs(4))
        .timeout(Duration::from_millis(250))
        .build()
}

#[tokio::test(start_paused = true)]
async fn a_store_of_tokens_has_the_signatures_that_users_write() {
    struct Store(Arc<MemoryStore>);
    impl TokenStore for Store {
        fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
            self.0.read_or_lease(key, owner, lease)
        }
        fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
            self.0.renew(key, owner, lease)
        }
        fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
            self.0.publish(key, owner, token)
        }
        fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
            self.0.retire(key, fingerprint, tombstone)
        }
    }
    let store = Store(Arc::new(MemoryStore::new().clone()));
    store.release("key", "owner").await.unwrap();
    assert!(conformance::check(&store).await.is_err(), "the default of `release` leaves the lease to run out");
    let token = SealedToken::new(Bytes::from_static(b"a"), "b", Duration::from_secs(2), Duration::from_secs(1));
    let lookup = Lookup::new(Some(token.clone()), true);
    let found = lookup.token().unwrap();
    assert_eq!((found, lookup.leased()), (&token, true));
    assert_eq!((found.sealed().as_ref(), found.fingerprint()), (&b"a"[..], "b"));
    assert_eq!((found.expires_in(), found.fresh_for()), (Duration::from_secs(2), Duration::from_secs(1)));
    let grant =
        ClientCredentialsGrant::builder("https://a.example.com/", Credentials::new("id", "key")).build().unwrap();
    let source = shared(grant, &Credentials::new("id", "key"), Box::new(MemoryStore::default())).unwrap();
    assert!(source.clone().identity().is_some() && format!("{source:?}").contains("SharedTokenSource"));
}

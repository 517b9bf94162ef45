//! `ClientCredentialsGrant::discover`: where the document is looked for, what it may say, and how long it is kept.

mod hostile_servers;

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, header::LOCATION};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Service, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials, ErrorKind,
    oauth::{
        Assertion, AssertionRequest, AssertionSource, ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder,
    },
    token::AccessToken,
};

use crate::support::token_server::{GOOD, fetch, reply};

const ISSUER: &str = "https://login.example.com/realms/bank";
const OAUTH: &str = "https://login.example.com/.well-known/oauth-authorization-server/realms/bank";
const OPENID: &str = "https://login.example.com/realms/bank/.well-known/openid-configuration";
const TOKEN: &str = "https://login.example.com/realms/bank/token";

/// An authorization server of pages; every other URL is a 404.
#[derive(Clone, Default)]
struct Web {
    pages: Arc<Mutex<HashMap<String, Response<Full<Bytes>>>>>,
    log: Arc<Mutex<Vec<(String, Bytes)>>>,
    /// How long every answer takes.
    latency: Arc<Mutex<Duration>>,
}

impl Web {
    fn new() -> Self {
        let web = Self::default();
        web.put(TOKEN, reply(200, &[], GOOD));
        web
    }

    fn put(&self, url: &str, page: Response<Full<Bytes>>) -> &Self {
        self.pages.lock().unwrap().insert(url.to_owned(), page);
        self
    }

    fn put_json(&self, url: &str, page: &Value) -> &Self {
        self.put(url, reply(200, &[], page.to_string()))
    }

    fn remove(&self, url: &str) -> &Self {
        self.pages.lock().unwrap().remove(url);
        self
    }

    fn slow_down(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }

    /// The URLs that were asked for since the last time.
    fn asked(&self) -> Vec<String> {
        self.log.lock().unwrap().drain(..).map(|(url, _)| url).collect()
    }

    fn transport(
        &self,
    ) -> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
    + use<> {
        let web = self.clone();
        service_fn(move |request: Request<Full<Bytes>>| {
            let web = web.clone();
            async move {
                let latency = *web.latency.lock().unwrap();
                tokio::time::sleep(latency).await;
                let (head, body) = request.into_parts();
                let url = head.uri.to_string();
                let is_token_request = head.method == Method::POST;
                assert_eq!(is_token_request, !url.contains("/.well-known/") && !url.contains("redirect"), "{url}");
                assert!(
                    is_token_request || !head.headers.contains_key("x-api-key"),
                    "headers are for the token request"
                );
                let body = body.collect().await.unwrap().to_bytes();
                web.log.lock().unwrap().push((url.clone(), body));
                let page = web.pages.lock().unwrap().get(&url).cloned();
                Ok(page.unwrap_or_else(|| reply(404, &[], "<h1>not here</h1>")))
            }
        })
    }

    fn builder(&self) -> ClientCredentialsGrantBuilder {
        self.builder_of(ISSUER)
    }

    fn builder_of(&self, issuer: &str) -> ClientCredentialsGrantBuilder {
        ClientCredentialsGrant::discover(issuer, Credentials::new("id", "key")).transport(self.transport())
    }

    async fn fetch(&self) -> Result<AccessToken, AuthError> {
        fetch(&self.builder().build().unwrap()).await
    }
}

fn document() -> Value {
    json!({ "issuer": ISSUER, "token_endpoint": TOKEN })
}

fn with(name: &str, value: Value) -> Value {
    let mut document = document();
    document.as_object_mut().unwrap().insert(name.to_owned(), value);
    document
}

/// Signs nothing, and says that it did.
struct Jwt(&'static str, Option<&'static str>);

impl AssertionSource for Jwt {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

        assert_eq!((request.issuer(), request.token_endpoint()), (self.1, TOKEN));
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": self.0 }).to_string());
        Box::pin(async move { Ok(Assertion::jwt(format!("{header}.e30.c2ln"))) })
    }
}

fn asserting(web: &Web, algorithm: &'static str) -> ClientCredentialsGrant {
    let builder = ClientCredentialsGrant::discover(ISSUER, Credentials::without_secret("id"));
    builder.client_assertion(Jwt(algorithm, Some(ISSUER))).transport(web.transport()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_document_is_where_rfc_8414_has_it_or_else_where_openid_connect_has_it() {
    for (place, asked) in [(OAUTH, vec![OAUTH, TOKEN]), (OPENID, vec![OAUTH, OPENID, TOKEN])] {
        let web = Web::new();
        web.put_json(place, &document());
        assert_eq!(web.fetch().await.unwrap().expose_secret(), "t");
        assert_eq!(web.asked(), asked);
    }
    let web = Web::new();
    // Some servers answer with a page for people, or refuse to tell.
    for page in [reply(200, &[], " <!doctype html>"), reply(403, &[], ""), reply(400, &[], "{}"), reply(200, &[], "")] {
        web.put(OAUTH, page).put_json(OPENID, &document());
        web.fetch().await.unwrap();
    }
    web.remove(OPENID);
    let error = web.fetch().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for part in ["/.well-known/oauth-authorization-server/realms/bank", "/realms/bank/.well-known/openid-configuration"]
    {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_path_of_an_issuer_is_in_both_places() {
    let [oauth, openid] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
    for (issuer, origin, path) in [
        ("https://a.example", "https://a.example", ""),
        ("https://a.example/", "https://a.example", ""),
        ("https://a.example:8443/x/", "https://a.example:8443", "/x"),
        ("http://127.0.0.1:8080/x/y", "http://127.0.0.1:8080", "/x/y"),
    ] {
        for place in [format!("{origin}{oauth}{path}"), format!("{origin}{path}{openid}")] {
            let web = Web::new();
            web.put_json(&place, &json!({ "issuer": issuer, "token_endpoint": TOKEN }));
            fetch(&web.builder_of(issuer).build().unwrap()).await.unwrap_or_else(|error| panic!("{place}: {error}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_issuer_must_be_the_same_character_for_character() {
    for (found, help) in [
        (json!(format!("{ISSUER}/")), "has a final slash"),
        (json!("https://LOGIN.example.com/realms/bank"), "character for character"),
        (json!("https://evil.example"), "character for character"),
        (json!(null), "character for character"),
        (json!([ISSUER]), "character for character"),
    ] {
        let web = Web::new();
        web.put_json(OAUTH, &with("issuer", found.clone()));
        let error = web.fetch().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Malformed && error.to_string().contains(help), "{found}: {error}");
        assert!(!error.to_string().contains("evil"), "{error}");
        assert_eq!(web.asked(), [OAUTH], "no credential goes anywhere");
    }
}

#[test]
fn an_issuer_is_an_https_url_without_query_and_fragment() {
    for (issuer, advice) in [
        ("http://login.example.com", "use https"),
        ("login.example.com", "not a URL"),
        ("https://login.example.com/?a=b", "no query and no fragment"),
        ("https://login.example.com/#a", "no query and no fragment"),
        ("https://user:password@login.example.com", "user name"),
    ] {
        let error = Web::new().builder_of(issuer).build().expect_err(advice);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(advice) && !error.to_string().contains("password@"), "{error}");
    }
    Web::new().builder_of("http://login.example.com").allow_insecure_http().build().unwrap();
    Web::new().builder_of("http://localhost:1/a").build().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_certificate_is_shown_to_the_alias_for_mutual_tls() {
    let alias = "https://mtls.example.com/token";
    let web = Web::new();
    web.put(alias, reply(200, &[], GOOD))
        .put_json(OAUTH, &with("mtls_endpoint_aliases", json!({ "token_endpoint": alias })));
    for (method, expected) in [(ClientAuth::Certificate, alias), (ClientAuth::Body, TOKEN)] {
        fetch(&web.builder().client_auth(method).build().unwrap()).await.unwrap();
        assert_eq!(web.asked(), [OAUTH, expected]);
    }
    for no_alias in [json!({}), json!(null), json!("x"), json!({ "token_endpoint": 5 })] {
        web.put_json(OAUTH, &with("mtls_endpoint_aliases", no_alias));
        fetch(&web.builder().client_auth(ClientAuth::Certificate).build().unwrap()).await.unwrap();
        assert_eq!(web.asked(), [OAUTH, TOKEN]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_document_excludes_is_a_config_error_that_lists_what_it_offers() {
    let methods = "token_endpoint_auth_methods_supported";
    let web = Web::new();
    web.put_json(OAUTH, &with(methods, json!(["client_secret_basic", "private_key_jwt", "evil words", 5])));
    for method in [ClientAuth::Body, ClientAuth::Certificate] {
        let error = fetch(&web.builder().client_auth(method).build().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("only client_secret_basic, private_key_jwt, others"), "{error}");
        assert_eq!(web.asked(), [OAUTH], "no credential is sent");
    }
    for method in [ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        fetch(&web.builder().client_auth(method).build().unwrap()).await.unwrap();
    }
    fetch(&asserting(&web, "ES256")).await.unwrap();
    web.put_json(OAUTH, &with(methods, json!(["client_secret_basic", "tls_client_auth", "none"])));
    let error = fetch(&asserting(&web, "ES256")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("`client_assertion`"), "{error}");

    web.put_json(OAUTH, &with("grant_types_supported", json!(["authorization_code", "implicit"])));
    let error = web.fetch().await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.to_string().contains("only authorization_code, implicit"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_algorithm_that_the_document_excludes_is_a_config_error_that_lists_the_others() {
    let web = Web::new();
    let algorithms = |list| with("token_endpoint_auth_signing_alg_values_supported", list);
    web.put_json(OAUTH, &algorithms(json!(["PS256", "Ed25519"])));
    for (algorithm, is_offered) in [("PS256", true), ("EdDSA", true), ("RS256", false), ("<b>", false)] {
        let error = fetch(&asserting(&web, algorithm)).await.err();
        assert_eq!(error.is_none(), is_offered, "{algorithm}: {error:?}");
        if let Some(error) = error {
            assert!(
                error.kind() == ErrorKind::Config && error.to_string().contains("supports PS256, Ed25519"),
                "{error}"
            );
            assert!(!error.to_string().contains('<'), "{error}");
        }
    }
    // The document is not kept that excludes what is set, so a server that is corrected serves at once.
    let grant = asserting(&web, "RS256");
    fetch(&grant).await.unwrap_err();
    web.put_json(OAUTH, &document());
    fetch(&grant).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_absent_or_says_nothing_excludes_nothing() {
    let web = Web::new();
    for list in [json!(null), json!([]), json!("client_secret_basic"), json!([5, null]), json!({})] {
        let mut document = document();
        for name in [
            "token_endpoint_auth_methods_supported",
            "token_endpoint_auth_signing_alg_values_supported",
            "grant_types_supported",
            "scopes_supported",
        ] {
            document[name] = list.clone();
        }
        web.put_json(OAUTH, &document);
        web.fetch().await.unwrap();
        fetch(&asserting(&web, "ES512")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_document_is_kept_and_read_again_after_hours() {
    let web = Web::new();
    web.put_json(OAUTH, &document());
    let grant =
        web.builder().header(http::HeaderName::from_static("x-api-key"), http::HeaderValue::from_static("k")).build();
    let grant = grant.unwrap();
    for _ in 0..3 {
        fetch(&grant).await.unwrap();
        tokio::time::advance(Duration::from_secs(3_600)).await;
    }
    assert_eq!(web.asked(), [OAUTH, TOKEN, TOKEN, TOKEN]);
    tokio::time::advance(Duration::from_secs(3 * 3_600)).await;
    fetch(&grant.clone()).await.unwrap();
    assert_eq!(web.asked(), [OAUTH, TOKEN]);
}

#[tokio::test(start_paused = true)]
async fn t9_an_endpoint_that_has_moved_is_found_within_the_same_fetch() {
    let moved = "https://login.example.com/v2/token";
    let web = Web::new();
    web.put_json(OAUTH, &document());
    let layer = AuthLayer::builder(web.builder().build().unwrap()).any_origin().build().unwrap();
    layer.handle().token().await.unwrap();
    assert_eq!(web.asked(), [OAUTH, TOKEN]);
    web.remove(TOKEN).put(moved, reply(200, &[], GOOD)).put_json(OAUTH, &with("token_endpoint", json!(moved)));
    layer.handle().refresh().await.unwrap();
    assert_eq!(web.asked(), [TOKEN, OAUTH, moved]);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_read_again_stays_in_use() {
    let web = Web::new();
    web.put_json(OAUTH, &document());
    let grant = web.builder().build().unwrap();
    fetch(&grant).await.unwrap();
    for broken in [reply(503, &[], ""), reply(404, &[], ""), reply(200, &[], "{"), reply(200, &[], "{}")] {
        web.put(OAUTH, broken);
        tokio::time::advance(Duration::from_secs(6 * 3_600)).await;
        fetch(&grant).await.unwrap();
        web.asked();
        fetch(&grant).await.unwrap();
        assert_eq!(web.asked(), [TOKEN], "it is not read again at every fetch");
    }
    web.put_json(OAUTH, &document());
    tokio::time::advance(Duration::from_secs(300)).await;
    fetch(&grant).await.unwrap();
    assert_eq!(web.asked(), [OAUTH, TOKEN], "but soon");
}

#[tokio::test(start_paused = true)]
async fn t2_the_document_is_read_within_the_time_of_one_exchange() {
    let web = Web::new();
    web.put_json(OPENID, &document());
    web.slow_down(Duration::from_millis(600));
    let grant = web.builder().timeout(Duration::from_secs(1)).build().unwrap();
    let error = fetch(&grant).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Timeout && error.to_string().contains("discovery document"), "{error}");
    web.slow_down(Duration::from_millis(400));
    fetch(&grant).await.unwrap();
    // With one that is known, a server that does not answer costs this much, and not the token.
    tokio::time::advance(Duration::from_secs(6 * 3_600)).await;
    web.asked();
    web.remove(OPENID);
    web.slow_down(Duration::from_millis(900));
    fetch(&grant).await.unwrap();
    assert_eq!(web.asked(), [OAUTH, TOKEN]);
}

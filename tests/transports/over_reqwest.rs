//! reqwest over real sockets: as a Tower service, and below its middlewares; responses come back whole.
#![expect(clippy::unwrap_used, clippy::unused_async, reason = "a helper of a test may panic; a handler is async")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Request as Received, State},
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::IntoResponse,
    routing::get,
};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use reqwest::{Method, Url, redirect::Policy};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    oauth::ClientCredentialsGrant,
    reqwest::{AuthMiddleware, ReqwestService, auth_error, redirect_policy},
    signing::{SignRules, TimestampHmac},
};

use crate::{
    authenticated::{A_MINUTE, TestResult, is_authenticated},
    support::{Issuer, chain::plain, server::Server},
};

#[tokio::test]
async fn as_the_client_of_the_api() -> TestResult {
    let server = Server::new();
    let origin = format!("http://{}", server.listen().await?);
    let client = server.layer(&origin)?.layer(ReqwestService::new(plain()));
    is_authenticated::<_, Full<Bytes>, _>(client, &origin, &server, Version::HTTP_11).await
}

#[tokio::test]
async fn as_the_client_of_the_api_and_of_the_token_endpoint() -> TestResult {
    let server = Server::new();
    let origin = format!("http://{}", server.listen().await?);
    let credentials = Credentials::new("client", "secret");
    let source = ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials)
        .transport(ReqwestService::new(plain()))
        .build()?;
    let client = AuthLayer::builder(source).origin(&origin).build()?.layer(ReqwestService::new(plain()));
    is_authenticated::<_, Full<Bytes>, _>(client, &origin, &server, Version::HTTP_11).await
}

/// Without this crate's service: reqwest converts both ways.
#[tokio::test]
async fn by_two_combinators_of_tower() -> TestResult {
    let server = Server::new();
    let origin = format!("http://{}", server.listen().await?);
    let client = ServiceBuilder::new()
        .layer(server.layer(&origin)?)
        .map_response(Response::<reqwest::Body>::from)
        .filter(|request: Request<Bytes>| reqwest::Request::try_from(request))
        .service(plain());
    is_authenticated(client, &origin, &server, Version::HTTP_11).await
}

/// A server that answers by the path, and notes what signatures it is shown.
#[derive(Clone, Default)]
struct Site {
    elsewhere: String,
    shown: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn listen(&self) -> Result<SocketAddr, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/echo", get(Self::echo).post(Self::echo).put(Self::echo))
            .route("/hops/{left}", get(Self::hop).post(Self::hop))
            .route("/away", get(Self::away))
            .route("/never", get(std::future::pending::<StatusCode>))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(address)
    }

    async fn echo(State(site): State<Self>, headers: HeaderMap, request: Received) -> impl IntoResponse {
        let shown = ["authorization", "x-signature", "x-fiid"].into_iter().filter(|name| headers.contains_key(*name));
        site.shown.lock().unwrap().extend(shown.map(str::to_owned));
        ([("x-own", "7")], request.into_body())
    }

    async fn hop(Path(left): Path<u32>) -> impl IntoResponse {
        let to = left.checked_sub(1).map_or("/echo".to_owned(), |left| format!("/hops/{left}"));
        (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)])
    }

    async fn away(State(site): State<Self>) -> impl IntoResponse {
        (StatusCode::FOUND, [(LOCATION, site.elsewhere)])
    }

    fn shown(&self) -> Vec<String> {
        self.shown.lock().unwrap().clone()
    }
}

fn authenticated(origin: &str, client: reqwest::Client) -> Result<ClientWithMiddleware, BoxError> {
    let signer = TimestampHmac::sha256(Credentials::new("id", "secret"));
    let auth = AuthLayer::builder(Issuer::new()).origin(origin).sign(SignRules::all(), signer).build()?;
    Ok(ClientBuilder::new(client).with(AuthMiddleware::from(auth)).build())
}

fn following(policy: Policy) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().redirect(policy).build()
}

#[tokio::test]
async fn a_response_keeps_its_url_address_length_version_and_extensions() -> TestResult {
    let address = Site::default().listen().await?;
    let url = format!("http://{address}/echo?a=b");
    let client = authenticated(&format!("http://{address}"), plain())?;
    let (with, without) = (client.post(&url).json(&7).send().await?, plain().post(&url).json(&7).send().await?);
    assert_eq!((with.url().as_str(), with.remote_addr()), (url.as_str(), Some(address)));
    assert_eq!((with.content_length(), with.version()), (without.content_length(), without.version()));
    assert_eq!((with.headers()["x-own"].to_str()?, with.status().as_u16()), ("7", 200));
    assert_eq!(with.extensions().len(), without.extensions().len());
    assert_eq!(with.json::<u32>().await?, 7);
    Ok(())
}

#[tokio::test]
async fn reqwests_interface_is_as_without_the_middleware() -> TestResult {
    let server = Server::new();
    let origin = format!("http://{}", server.listen().await?);
    let client = ClientBuilder::new(plain()).with(AuthMiddleware::from(server.layer(&origin)?)).build();
    let order = json!({ "article": 7 });
    assert_eq!(client.post(&origin).json(&order).send().await?.json::<Value>().await?, order);
    server.issuer.revoke();
    assert_eq!(client.post(&origin).json(&order).send().await?.error_for_status()?.json::<Value>().await?, order);
    assert_eq!(server.issuer.requests(), 2);
    Ok(())
}

/// The Rust client of openapi-generator, with `supportMiddleware`: a configuration, and functions that build and execute.
struct Configuration {
    base_path: String,
    client: ClientWithMiddleware,
    bearer_access_token: Option<String>,
}

async fn create_order(configuration: &Configuration, order: Value) -> Result<Value, Error> {
    let url = format!("{}/orders", configuration.base_path);
    let mut builder = configuration.client.request(Method::POST, &url);
    if let Some(token) = &configuration.bearer_access_token {
        builder = builder.bearer_auth(token);
    }
    let request = builder.json(&order).build()?;
    let response = configuration.client.execute(request).await?;
    Ok(response.error_for_status()?.json().await?)
}

#[tokio::test]
async fn below_a_generated_client_that_builds_and_executes() -> TestResult {
    let server = Server::new();
    let base_path = format!("http://{}", server.listen().await?);
    let client = ClientBuilder::new(plain()).with(AuthMiddleware::from(server.layer(&base_path)?)).build();
    let configuration = Configuration { base_path, client, bearer_access_token: None };
    for _ in 0..2 {
        let order = json!({ "article": 7 });
        assert_eq!(create_order(&configuration, order.clone()).await?, order);
        server.issuer.revoke();
    }
    assert_eq!(server.issuer.requests(), 2);
    Ok(())
}

#[tokio::test]
async fn s4_redirects_within_the_origin_are_followed_ten_times() -> TestResult {
    let site = Site::default();
    let address = site.listen().await?;
    let client = authenticated(&format!("http://{address}"), following(redirect_policy())?)?;
    let response = client.post(format!("http://{address}/hops/9")).body("whole").send().await?;
    assert_eq!(response.url().path(), "/echo");
    assert_eq!(response.text().await?, "whole");
    assert_eq!(site.shown(), ["authorization", "x-signature"], "it is the same origin");
    let error = client.get(format!("http://{address}/hops/10")).send().await.unwrap_err();
    assert!(error.is_redirect(), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn s4_a_redirect_that_leaves_the_origin_goes_to_the_caller() -> TestResult {
    let other = Site::default();
    let elsewhere = format!("http://{}/echo", other.listen().await?);
    let address = Site { elsewhere: elsewhere.clone(), ..Site::default() }.listen().await?;
    let url = format!("http://{address}/away");
    let client = authenticated(&format!("http://{address}"), following(redirect_policy())?)?;
    let response = client.get(&url).send().await?;
    assert_eq!((response.status().as_u16(), response.headers()[LOCATION].to_str()?), (302, elsewhere.as_str()));
    assert!(other.shown().is_empty());
    // What it is for: reqwest's own policy removes `Authorization`, and takes the signature along.
    authenticated(&format!("http://{address}"), following(Policy::default())?)?.get(&url).send().await?;
    assert_eq!(other.shown(), ["x-signature"]);
    Ok(())
}

#[tokio::test]
async fn a_timeout_during_a_send_is_an_error_of_reqwest() -> TestResult {
    let address = Site::default().listen().await?;
    let client = authenticated(&format!("http://{address}"), plain())?;
    let error = client.get(format!("http://{address}/never")).timeout(SHORT).send().await.unwrap_err();
    assert!(matches!(&error, Error::Reqwest(error) if error.is_timeout()), "{error:?}");
    assert!(auth_error(&error).is_none());
    Ok(())
}

#[tokio::test]
async fn the_service_keeps_a_requests_timeout_and_a_responses_url() -> TestResult {
    let address = Site::default().listen().await?;
    let request = |path: &str, timeout| {
        let mut request = reqwest::Request::new(Method::GET, Url::parse(&format!("http://{address}{path}")).unwrap());
        *request.timeout_mut() = Some(timeout);
        Request::<reqwest::Body>::try_from(request)
    };
    let service = ReqwestService::new(plain());
    let error = service.clone().oneshot(request("/never", SHORT)?).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    let response = reqwest::Response::from(service.clone().oneshot(request("/echo", A_MINUTE)?).await?);
    assert_eq!((response.url().path(), response.remote_addr()), ("/echo", Some(address)));
    let error = service.oneshot(Request::get("/no/host").body(String::new())?).await.unwrap_err();
    assert!(error.is_builder(), "{error:?}");
    Ok(())
}

/// reqwest repeats a body when a 307 tells it to, if it has the bytes.
#[tokio::test]
async fn the_service_passes_an_empty_body_and_one_of_reqwest_as_they_are() -> TestResult {
    let address = Site::default().listen().await?;
    let service = ReqwestService::new(following(redirect_policy())?);
    let url = format!("http://{address}/hops/0");
    let of_reqwest = Request::post(&url).body(reqwest::Body::from("whole"))?;
    let response = reqwest::Response::from(service.clone().oneshot(of_reqwest).await?);
    assert_eq!(response.text().await?, "whole");
    let empty = Request::post(&url).body(Full::<Bytes>::default())?;
    assert_eq!(service.clone().oneshot(empty).await?.status(), 200);
    let stream = Request::post(&url).body(Full::<Bytes>::from("a stream"))?;
    assert_eq!(service.oneshot(stream).await?.status(), 307, "it cannot be sent again");
    Ok(())
}

const SHORT: Duration = Duration::from_millis(100);

//! axum as a reverse proxy: it has the credentials, and its callers have none.

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
};
use bytes::Bytes;
use http::{
    Response, StatusCode, Uri, Version,
    header::{AUTHORIZATION, HOST, HeaderValue},
};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt};
use tower_outbound_auth::Auth;

use crate::{
    authenticated::{TestResult, is_authenticated},
    support::server::Server,
};

type Upstream = Auth<Client<HttpConnector, Full<Bytes>>>;

#[tokio::test]
async fn on_the_way_out_of_a_reverse_proxy() -> TestResult {
    let server = Server::new();
    let api = server.listen().await?.to_string();
    let upstream = server.layer(&format!("http://{api}"))?.layer(pool());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let proxy = Router::new().fallback(pass_on).with_state((upstream, api.clone()));
    tokio::spawn(async move { axum::serve(listener, proxy).await });

    // What the caller has for the proxy is nothing to the API.
    let caller = ServiceBuilder::new().map_err(BoxError::from).map_request(with_its_own).service(pool());
    is_authenticated(caller, &format!("http://{address}/upload"), &server, Version::HTTP_11).await?;
    assert!(server.hosts().iter().all(|host| host.as_deref() == Some(&api)));
    Ok(())
}

async fn pass_on(
    State((upstream, api)): State<(Upstream, String)>,
    request: Request,
) -> Result<Response<Incoming>, StatusCode> {
    let (mut head, body) = request.into_parts();
    head.headers.remove(HOST);
    head.headers.remove(AUTHORIZATION);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = Uri::try_from(format!("http://{api}{path}")).map_err(|_| StatusCode::BAD_REQUEST)?;
    let body = to_bytes(body, 1 << 20).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    upstream.oneshot(Request::from_parts(head, Full::new(body))).await.map_err(|_| StatusCode::BAD_GATEWAY)
}

fn with_its_own(mut request: http::Request<Full<Bytes>>) -> http::Request<Full<Bytes>> {
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Bearer of the caller"));
    request
}

fn pool() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

//! hyper-util's legacy client, which opens and keeps connections by itself.

use bytes::Bytes;
use http::Version;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, ServiceBuilder};

use crate::{
    authenticated::{TestResult, is_authenticated},
    support::server::Server,
};

#[tokio::test]
async fn over_http_1() -> TestResult {
    let server = Server::new();
    let origin = format!("http://{}", server.listen().await?);
    let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = ServiceBuilder::new().layer(server.layer(&origin)?).service(http);
    is_authenticated(client, &origin, &server, Version::HTTP_11).await
}

#[tokio::test]
async fn over_http_2_with_prior_knowledge() -> TestResult {
    let server = Server::new();
    let origin = format!("http://{}", server.listen().await?);
    let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let client = server.layer(&origin)?.layer(http);
    is_authenticated(client, &origin, &server, Version::HTTP_2).await
}

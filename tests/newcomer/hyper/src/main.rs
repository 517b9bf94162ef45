use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::crypto::ring;
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
    let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
    let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;

    let https = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring::default_provider())?;
    let https = https.https_or_http().enable_all_versions().build();
    let client = ServiceBuilder::new().layer(auth).service(Client::builder(TokioExecutor::new()).build(https));

    let request = Request::get("https://api.example.com/orders").body(Full::<Bytes>::default())?;
    let response = client.oneshot(request).await?;
    println!("{}: {:?}", response.status(), response.into_body().collect().await?.to_bytes());
    Ok(())
}

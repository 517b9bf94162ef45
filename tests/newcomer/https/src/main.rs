use http::Request;
use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{AuthLayer, BoxError, Credentials, client::HttpsClient, oauth::ClientCredentialsGrant};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
    let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
    let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
    let client = ServiceBuilder::new().layer(auth).service(HttpsClient::new()?);

    let request = Request::get("https://api.example.com/orders").body(String::new())?;
    let response = client.oneshot(request).await?;
    println!("{}: {:?}", response.status(), response.into_body().collect().await?.to_bytes());
    Ok(())
}

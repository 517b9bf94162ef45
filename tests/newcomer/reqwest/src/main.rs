use reqwest_middleware::ClientBuilder;
use serde_json::{Value, json};
use tower_outbound_auth::reqwest::{AuthMiddleware, redirect_policy};
use tower_outbound_auth::{AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
    let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
    let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
    let client = reqwest::Client::builder().redirect(redirect_policy()).no_proxy().build()?;
    let client = ClientBuilder::new(client).with(AuthMiddleware::from(auth)).build();

    let order = json!({ "article": 7 });
    let response = client.post("https://api.example.com/orders").json(&order).send().await?;
    println!("{}: {}", response.status(), response.json::<Value>().await?);
    Ok(())
}

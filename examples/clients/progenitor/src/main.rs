//! progenitor: a generated client sends by a `reqwest::Client`, and has hooks. They take the token from a `TokenHandle`.
//!
//! There is no place for a layer, so origins are not checked: use the handle only in a client whose base URL is yours.
//!
//! ```text
//! cargo run --manifest-path examples/clients/Cargo.toml --package example-progenitor
//! ```

use example_server::Server;
use reqwest::{
    Request, Response, StatusCode,
    header::{AUTHORIZATION, HeaderValue},
};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    oauth::ClientCredentialsGrant,
    reqwest::redirect_policy,
    token::{AccessToken, TokenHandle},
};

progenitor::generate_api!(spec = "api.json", inner_type = tower_outbound_auth::token::TokenHandle);

impl ClientHooks<TokenHandle> for Client {
    /// Fails without a token.
    async fn pre<E>(&self, request: &mut Request, _: &OperationInfo) -> Result<(), Error<E>> {
        let token = self.inner().token().await.map_err(|error| Error::Custom(error.to_string()))?;
        request.headers_mut().insert(AUTHORIZATION, bearer(&token));
        Ok(())
    }

    /// Renews a rejected token, and replays the request once.
    async fn exec(&self, request: Request, _: &OperationInfo) -> reqwest::Result<Response> {
        let (copy, sent) = (request.try_clone(), request.headers().get(AUTHORIZATION).cloned());
        let response = self.client().execute(request).await?;
        let (StatusCode::UNAUTHORIZED, Some(mut copy)) = (response.status(), copy) else {
            return Ok(response);
        };
        let tokens = self.inner();
        // Only the token that was sent: another call may have renewed it.
        if let Ok(current) = tokens.token().await
            && sent == Some(bearer(&current))
        {
            tokens.invalidate(&current);
        }
        let Ok(token) = tokens.token().await else {
            return Ok(response);
        };
        copy.headers_mut().insert(AUTHORIZATION, bearer(&token));
        self.client().execute(copy).await
    }
}

fn bearer(token: &AccessToken) -> HeaderValue {
    // A token is checked to be a header's value when it is received.
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).expect("a header's value");
    value.set_sensitive(true);
    value
}

fn client(server: &Server) -> Result<Client, BoxError> {
    let grant =
        ClientCredentialsGrant::builder(&server.token_url(), Credentials::new("my-client", "my-secret")).build()?;
    let auth = AuthLayer::builder(grant).origin(server.origin()).build()?;
    let http = reqwest::Client::builder().redirect(redirect_policy()).build()?;
    Ok(Client::new_with_client(server.origin(), http, auth.handle()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = Server::start(api::routes()).await?;
    let client = client(&server)?;
    assert_eq!(client.list_orders().await?.len(), 1);

    server.revoke_tokens();
    let order = types::Order { article: "seven".to_owned() };
    assert_eq!(client.create_order(&order).await?.article, "seven", "the body of the replay is whole");
    server.expect(2, 2, 1);
    Ok(())
}

/// As much of the described API as this needs.
mod api {
    use example_server::axum::{Json, Router, routing::get};
    use serde_json::{Value, json};

    pub fn routes() -> Router {
        let orders = json!([{ "article": "one" }]);
        Router::new().route("/orders", get(async || Json(orders)).post(async |order: Json<Value>| order))
    }
}

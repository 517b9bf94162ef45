//! async-openai: `Client::with_http_service` takes a service that sends by reqwest with the middleware.
//!
//! ```text
//! cargo run --manifest-path examples/clients/Cargo.toml --package example-async-openai
//! ```

use async_openai::{
    Client, config::OpenAIConfig, middleware::HttpRequestFactory, types::embeddings::CreateEmbeddingRequestArgs,
};
use example_server::Server;
use reqwest_middleware::ClientBuilder;
use tower::service_fn;
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    oauth::ClientCredentialsGrant,
    reqwest::{AuthMiddleware, redirect_policy},
};

fn client(server: &Server) -> Result<Client<OpenAIConfig>, BoxError> {
    let grant =
        ClientCredentialsGrant::builder(&server.token_url(), Credentials::new("my-client", "my-secret")).build()?;
    // async-openai always sends an API key, which the token replaces.
    let auth = AuthLayer::builder(grant).origin(server.origin()).overwrite_authorization().build()?;

    let http = reqwest::Client::builder().redirect(redirect_policy()).build()?;
    let http = ClientBuilder::new(http).with(AuthMiddleware::from(auth)).build();
    // A retry layer of async-openai goes around this service.
    let service = service_fn(move |request: HttpRequestFactory| {
        let http = http.clone();
        async move { Ok::<_, BoxError>(http.execute(request.build().await?).await?) }
    });
    let config = OpenAIConfig::new().with_api_key("").with_api_base(format!("{}/v1", server.origin()));
    Ok(Client::with_config(config).with_http_service(service))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = Server::start(api::routes()).await?;
    let client = client(&server)?;
    assert_eq!(client.models().list().await?.data.len(), 1);

    server.revoke_tokens();
    let request = CreateEmbeddingRequestArgs::default().model("small").input("hello").build()?;
    assert_eq!(client.embeddings().create(request).await?.model, "small", "the body of the replay is whole");
    server.expect(2, 2, 1);
    Ok(())
}

/// As much of OpenAI's API as this needs.
mod api {
    use example_server::axum::{
        Json, Router,
        routing::{get, post},
    };
    use serde_json::{Value, json};

    pub fn routes() -> Router {
        let models = json!({
            "object": "list",
            "data": [{ "id": "small", "object": "model", "created": 0, "owned_by": "own" }],
        });
        Router::new().route("/v1/models", get(async || Json(models))).route("/v1/embeddings", post(embed))
    }

    async fn embed(Json(request): Json<Value>) -> Json<Value> {
        let usage = json!({ "prompt_tokens": 1, "total_tokens": 1 });
        Json(json!({ "object": "list", "model": request["model"], "data": [], "usage": usage }))
    }
}

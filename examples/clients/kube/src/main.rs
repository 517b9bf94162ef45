//! kube: `ClientBuilder::with_layer` takes the layer, for a cluster behind a gateway that wants OAuth 2.0 tokens.
//!
//! ```text
//! cargo run --manifest-path examples/clients/Cargo.toml --package example-kube
//! ```

use example_server::Server;
use hyper_util::{client::legacy, rt::TokioExecutor};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tower_outbound_auth::{AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant, replay::Replay};

/// kube's body is not `Clone`, but most can be copied.
#[derive(Clone)]
struct CopyKubeBody;

impl Replay<Body> for CopyKubeBody {
    fn clone_body(&self, body: &Body) -> Option<Body> {
        body.try_clone()
    }
}

fn client(server: &Server) -> Result<kube::Client, BoxError> {
    let grant =
        ClientCredentialsGrant::builder(&server.token_url(), Credentials::new("my-client", "my-secret")).build()?;
    let auth = AuthLayer::builder(grant).origin(server.origin()).replay(CopyKubeBody).build()?;

    let config = Config::new(server.origin().parse()?);
    // For a cluster: `.build(config.rustls_https_connector()?)`, with kube's feature `rustls-tls`.
    let http = legacy::Client::builder(TokioExecutor::new()).build_http();
    // The base URI goes outside: the origin is checked in the layer. kube's own `auth_layer` stays away.
    let builder = ClientBuilder::new(http, "default").with_layer(&auth).with_layer(&config.base_uri_layer());
    Ok(builder.build())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = Server::start(api::routes()).await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&server)?);
    assert_eq!(maps.get("settings").await?.metadata.name.as_deref(), Some("settings"));

    server.revoke_tokens();
    let mut new = ConfigMap::default();
    new.metadata.name = Some("new".to_owned());
    assert_eq!(maps.create(&Default::default(), &new).await?, new, "the body of the replay is whole");
    server.expect(2, 2, 1);
    Ok(())
}

/// As much of Kubernetes as this needs.
mod api {
    use example_server::axum::{
        Json, Router,
        routing::{get, post},
    };
    use serde_json::{Value, json};

    pub fn routes() -> Router {
        let settings = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" } });
        Router::new()
            .route("/api/v1/namespaces/default/configmaps/settings", get(async || Json(settings)))
            .route("/api/v1/namespaces/default/configmaps", post(async |map: Json<Value>| map))
    }
}

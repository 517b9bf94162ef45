//! octocrab: `OctocrabBuilder::with_layer` takes the layer, for a GitHub server behind a gateway that wants OAuth 2.0 tokens.
//!
//! ```text
//! cargo run --manifest-path examples/clients/Cargo.toml --package example-octocrab
//! ```

use example_server::Server;
use http_body::Body;
use hyper_util::{client::legacy, rt::TokioExecutor};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder, service::middleware::base_uri::BaseUriLayer};
use serde_json::{Value, json};
use tower_outbound_auth::{AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant, replay::Replay};

/// octocrab's body is `Clone`, but its clones share one stream: with `CloneBody`, a replay would send an empty body.
#[derive(Clone)]
struct CopyOctoBody;

impl Replay<OctoBody> for CopyOctoBody {
    fn clone_body(&self, body: &OctoBody) -> Option<OctoBody> {
        if body.is_end_stream() { Some(OctoBody::empty()) } else { body.try_clone() }
    }
}

fn client(server: &Server) -> Result<Octocrab, BoxError> {
    let grant =
        ClientCredentialsGrant::builder(&server.token_url(), Credentials::new("my-client", "my-secret")).build()?;
    let auth = AuthLayer::builder(grant).origin(server.origin()).replay(CopyOctoBody).build()?;

    // For a server with TLS: `.build(https)` with hyper-rustls.
    let http = legacy::Client::builder(TokioExecutor::new()).build_http();
    // The base URI goes outside: the origin is checked in the layer.
    let builder = OctocrabBuilder::new_empty()
        .with_service(http)
        .with_layer(&auth)
        .with_layer(&BaseUriLayer::new(server.origin().parse()?))
        .with_auth(AuthState::None);
    Ok(builder.build()?)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = Server::start(api::routes()).await?;
    let client = client(&server)?;
    let user: Value = client.get("/user", None::<&()>).await?;
    assert_eq!(user["login"], "my-client");

    server.revoke_tokens();
    let issue = json!({ "title": "found a bug" });
    let opened: Value = client.post("/repos/own/project/issues", Some(&issue)).await?;
    assert_eq!(opened, issue, "the body of the replay is whole");

    server.revoke_tokens();
    client.get::<Value, _, ()>("/user", None).await?;
    server.expect(3, 3, 2);
    Ok(())
}

/// As much of GitHub as this needs.
mod api {
    use example_server::axum::{
        Json, Router,
        routing::{get, post},
    };
    use serde_json::{Value, json};

    pub fn routes() -> Router {
        Router::new()
            .route("/user", get(async || Json(json!({ "login": "my-client" }))))
            .route("/repos/own/project/issues", post(async |issue: Json<Value>| issue))
    }
}

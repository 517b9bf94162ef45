//! Calls an API for several tenants with one client, here against the sandbox, which counts the requests of each. To copy.
//!
//! ```text
//! cargo run --example tenants --features sandbox
//! ```

use http::Request;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    AuthError, BoxError, Credentials, ErrorKind,
    client::HttpsClient,
    keyed::KeyedAuthLayer,
    paynet::{self, RejectionLayer},
    sandbox::Sandbox,
};

/// Selects the credentials of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Tenant(&'static str);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let sandbox =
        Sandbox::builder().client("acme", "secret-of-acme").client("umbrella", "secret-of-umbrella").start().await?;
    let environment = sandbox.environment();
    let url = format!("{}/v1/reports/types", environment.api_origin());

    // Called once for each tenant. Read the secrets from your store, and refuse tenants that it does not know.
    let keyed = KeyedAuthLayer::builder(move |tenant: &Tenant| {
        let credentials = match tenant.0 {
            "acme" | "umbrella" => Credentials::new(tenant.0, format!("secret-of-{}", tenant.0)),
            _ => return Err(AuthError::new(ErrorKind::Denied, "no such tenant")),
        };
        paynet::auth(&environment, credentials)?.build()
    })
    .build();
    let client = ServiceBuilder::new().layer(keyed.clone()).service(RejectionLayer.layer(HttpsClient::new()?));

    for tenant in ["acme", "umbrella", "acme", "acme", "nobody"].map(Tenant) {
        let request = Request::get(&url).extension(tenant).body(String::new())?;
        match client.clone().oneshot(request).await {
            Ok(response) => println!("{}: {}", tenant.0, response.status()),
            Err(error) => println!("{}: {error}", tenant.0),
        }
        // The next request of each tenant is rejected. The layer renews that tenant's token and replays the request.
        sandbox.revoke_tokens();
    }
    // The tenant has left. Its token is not used any more, and its secret is wiped.
    keyed.remove(&Tenant("umbrella"));

    let mut as_expected = true;
    for (id, tokens, accepted) in [("acme", 3, 3), ("umbrella", 1, 1)] {
        let stats = sandbox.client_stats(id).ok_or("the sandbox does not know the tenant")?;
        println!("at the server, {id}: tokens issued {}, requests accepted {}", stats.tokens, stats.accepted);
        as_expected &= (stats.tokens, stats.accepted) == (tokens, accepted);
    }
    if as_expected { Ok(()) } else { Err("the server counted something else".into()) }
}

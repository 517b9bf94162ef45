//! says: /* no layer yet: `.build()?` makes it one */

use http::{Request, Response};
use tower::{ServiceBuilder, service_fn};
use tower_outbound_auth::{AuthLayer, BoxError, oauth::ClientCredentialsGrant};

fn client(source: ClientCredentialsGrant) {
    let api = service_fn(async |_: Request<String>| Ok::<_, BoxError>(Response::new(String::new())));
    let auth = AuthLayer::builder(source).origin("https://api.example.com");
    ServiceBuilder::new().layer(auth).service(api);
}

fn main() {}

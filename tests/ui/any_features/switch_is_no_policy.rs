//! says: `bool` cannot replay a request with the body
//! says: this needs another replay policy

use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_outbound_auth::{AuthError, AuthLayerBuilder, BoxError};

fn client<S: Service<Request<String>>>(_service: S) {}

fn stack(builder: AuthLayerBuilder) -> Result<(), AuthError> {
    let api = service_fn(async |_: Request<String>| Ok::<_, BoxError>(Response::new(String::new())));
    client(builder.replay(false).build()?.layer(api));
    Ok(())
}

fn main() {}

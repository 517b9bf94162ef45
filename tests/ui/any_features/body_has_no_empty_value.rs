//! says: `EmptyBody` cannot replay a request with the body
//! says: `.replay(EmptyBody)` accepts a body type that is `Default`

use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service, service_fn};
use tower_outbound_auth::{AuthError, AuthLayerBuilder, BoxError, replay::EmptyBody};

fn client<S: Service<Request<Incoming>>>(_service: S) {}

fn stack(builder: AuthLayerBuilder) -> Result<(), AuthError> {
    let api = service_fn(async |_: Request<Incoming>| Ok::<_, BoxError>(Response::new(String::new())));
    client(builder.replay(EmptyBody).build()?.layer(api));
    Ok(())
}

fn main() {}

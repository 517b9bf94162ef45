//! says: `EmptyBody` cannot send a request with the body
//! says: `.replay(EmptyBody)` takes a body type that is `Default`

use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service, service_fn};
use tower_outbound_auth::{AuthLayer, BoxError, replay::EmptyBody};

fn client<S: Service<Request<Incoming>>>(_service: S) {}

fn stack(auth: AuthLayer) {
    let api = service_fn(async |_: Request<Incoming>| Ok::<_, BoxError>(Response::new(String::new())));
    client(auth.replay(EmptyBody).layer(api));
}

fn main() {}

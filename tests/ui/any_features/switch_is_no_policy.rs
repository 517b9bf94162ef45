//! says: `bool` cannot send a request with the body
//! says: this needs another replay policy

use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_outbound_auth::{AuthLayer, BoxError};

fn client<S: Service<Request<String>>>(_service: S) {}

fn stack(auth: AuthLayer) {
    let api = service_fn(async |_: Request<String>| Ok::<_, BoxError>(Response::new(String::new())));
    client(auth.replay(false).layer(api));
}

fn main() {}

//! says: `CloneBody` cannot replay a request with the body `BoxBody<
//! says: `.replay(NoReplay)`, called before `build`, accepts any body
//! says: `.replay(EmptyBody)` accepts a body type that is `Default`
//! says: `ReplayBody::new(body, limit)`

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use tower::{Layer, Service, service_fn};
use tower_outbound_auth::{AuthLayer, BoxError};

type Body = BoxBody<Bytes, BoxError>;

fn client<S: Service<Request<Body>>>(_service: S) {}

fn stack(auth: AuthLayer) {
    let api = service_fn(async |_: Request<Body>| Ok::<_, BoxError>(Response::new(String::new())));
    client(auth.layer(api));
}

fn main() {}

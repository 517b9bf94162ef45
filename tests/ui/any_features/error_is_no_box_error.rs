//! says: `ApiError: std::error::Error` is not satisfied
//! says: // if it is not: `.map_err(f)` over it

use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_outbound_auth::AuthLayer;

#[derive(Debug)]
enum ApiError {
    Down,
}

fn client<S: Service<Request<String>>>(_service: S) {}

fn stack(auth: AuthLayer) {
    let api = service_fn(async |_: Request<String>| Err::<Response<String>, _>(ApiError::Down));
    client(auth.layer(api));
}

fn main() {}

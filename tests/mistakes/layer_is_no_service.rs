//! says: the trait bound `AuthLayer: Service<http::Request<String>>` is not satisfied
//! says: `Auth<S, R>` implements `Service<http::Request<B>>`

use http::Request;
use tower::Service;
use tower_outbound_auth::AuthLayer;

fn client<S: Service<Request<String>>>(_service: S) {}

fn stack(auth: AuthLayer) {
    client(auth);
}

fn main() {}

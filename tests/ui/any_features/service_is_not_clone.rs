//! says: the trait bound `Connection: Clone` is not satisfied
//! says: + Clone, // if it is not: `.buffer(n)` over it

use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};
use tower_outbound_auth::{AuthLayer, BoxError};

struct Connection;

impl Service<Request<String>> for Connection {
    type Response = Response<String>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<String>, BoxError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<String>) -> Self::Future {
        std::future::ready(Ok(Response::new(String::new())))
    }
}

fn client<S: Service<Request<String>>>(_service: S) {}

fn stack(auth: AuthLayer) {
    client(auth.layer(Connection));
}

fn main() {}

//! says: the method `oneshot` exists for struct `Auth<
//! says: /* which bound? see "Compiler messages" in the docs of `Auth` */

use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt};
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

async fn send(auth: AuthLayer, request: Request<String>) -> Result<(), BoxError> {
    auth.layer(Connection).oneshot(request).await?;
    Ok(())
}

fn main() {}

//! says: `CloneBody` cannot replay a request with the body `StreamBody<
//! says: `ReplayBody::new(body, limit)` makes a stream replayable with `CloneBody`

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyStream, StreamBody, combinators::UnsyncBoxBody};
use tower::{Layer, Service, service_fn};
use tower_outbound_auth::{AuthLayer, BoxError};

type Upload = StreamBody<BodyStream<UnsyncBoxBody<Bytes, BoxError>>>;

async fn upload(auth: AuthLayer, request: Request<Upload>) {
    let api = service_fn(async |_: Request<Upload>| Ok::<_, BoxError>(Response::new(String::new())));
    let _response = Service::call(&mut auth.layer(api), request);
}

fn main() {}

//! says: implementation of `From` is not general enough

use http::{Request, Response};
use tower::{BoxError, Layer, ServiceExt, util::BoxCloneSyncService};
use tower_outbound_auth::AuthLayer;

type Http = BoxCloneSyncService<Request<String>, Response<String>, BoxError>;

fn spawn(auth: &AuthLayer, http: Http) {
    let client = auth.layer(http);
    tokio::spawn(async move {
        let request = Request::get("https://api.example.com/a").body(String::new());
        client.oneshot(request?).await.map(drop)
    });
}

fn main() {}

//! Callers of the service, over sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::{task::JoinSet, time::sleep};
use tower::ServiceExt;
use tower_outbound_auth::{AuthError, BoxError, client::HttpsClient};

use crate::app::App;

/// Calls one service.
#[derive(Clone)]
pub(crate) struct Caller {
    http: HttpsClient,
    address: SocketAddr,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr) -> Result<Self, AuthError> {
        Ok(Self { http: HttpsClient::new()?, address })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, String), BoxError> {
        let request = Request::get(format!("http://{}{path}", self.address)).body(Full::<Bytes>::default())?;
        let response = self.http.clone().oneshot(request).await?;
        let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

pub(crate) struct Callers(JoinSet<()>);

impl Callers {
    /// Starts so many, each with about 20 calls in a second.
    pub(crate) fn start(app: &Arc<App>, address: SocketAddr, callers: usize) -> Result<Self, AuthError> {
        let caller = Caller::new(address)?;
        let tasks = (0..callers).map(|_| call_until_shutdown(caller.clone(), Arc::clone(app)));
        Ok(Self(tasks.collect()))
    }

    pub(crate) async fn end(self) {
        self.0.join_all().await;
    }
}

async fn call_until_shutdown(caller: Caller, app: Arc<App>) {
    while !app.is_shutting_down() {
        let answer = caller.get("/reports").await;
        // The listener of a service that shuts down refuses connections: no call of it has failed.
        if answer.is_ok() || !app.is_shutting_down() {
            app.counts.ended(answer.is_ok_and(|(status, _)| status == StatusCode::OK));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

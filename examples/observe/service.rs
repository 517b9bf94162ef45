//! The service: its routes, readiness, and an orderly end.

use std::{future::IntoFuture, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::State, http::Response, routing::get};
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};
use tower::ServiceExt;
use tower_outbound_auth::{AuthError, BoxError, token::KeepWarm};

use crate::app::App;

pub(crate) struct Service {
    address: SocketAddr,
    server: JoinHandle<io::Result<()>>,
    stop: oneshot::Sender<()>,
    warm: KeepWarm,
}

impl Service {
    pub(crate) async fn start(app: &Arc<App>) -> Result<Self, BoxError> {
        let warm = app.handle.keep_warm();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/reports", get(reports))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Arc::clone(app));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, routes).with_graceful_shutdown(async { _ = stopped.await });
        Ok(Self { address, server: tokio::spawn(server.into_future()), stop, warm })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and returns when the calls under way have ended.
    ///
    /// Behind a load balancer, wait after the first line until the load balancer has read `/ready`.
    pub(crate) async fn shut_down(self, app: &App) -> Result<(), BoxError> {
        app.begin_shutdown();
        _ = self.stop.send(());
        timeout(SHUTDOWN_LIMIT, self.server).await.map_err(|_| "some calls did not end in time")???;
        // Calls under way may need a token to the last, so this comes after them.
        drop(self.warm);
        Ok(())
    }
}

/// Resolves at SIGTERM or Ctrl-C.
pub(crate) async fn shutdown_signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Whether a token can be had: at once if there is a usable one, whatever the state of the authorization server.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, String) {
    if app.is_shutting_down() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down".to_owned());
    }
    match timeout(READY_LIMIT, app.handle.token()).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready".to_owned()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no token yet".to_owned()),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> String {
    app.page().into_text()
}

/// What the service is for: it calls the API.
async fn reports(State(app): State<Arc<App>>) -> Result<Response<Body>, (StatusCode, String)> {
    let _called = app.counts.called.enter();
    let answer = async {
        let request = Request::get(app.reports_url()).body(Full::default())?;
        app.client.clone().oneshot(request).await
    };
    answer.await.map_err(|error: BoxError| {
        let is_token = AuthError::find(error.as_ref()).is_some();
        let status = if is_token { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY };
        (status, error.to_string())
    })
}

/// Less than the timeout of a probe.
const READY_LIMIT: Duration = Duration::from_millis(500);
/// Less than the time that the platform leaves between SIGTERM and SIGKILL.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);

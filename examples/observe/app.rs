//! The client of an API, and a sandbox in the place of the API and its authorization server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tower::{ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthError, BoxError,
    client::HttpsClient,
    paynet::{self, PayNetLayer},
    sandbox::{Fault, FaultKind, Sandbox},
    token::{RefreshPolicy, TokenHandle},
};

use crate::{counts::Counts, keys::Key, logs::Logs, page::Page};

pub(crate) type Client = BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>;

pub(crate) struct App {
    pub(crate) client: Client,
    /// The token of the client's layer.
    pub(crate) handle: TokenHandle,
    pub(crate) counts: Arc<Counts>,
    pub(crate) logs: Logs,
    pub(crate) lifetime: Duration,
    pub(crate) sandbox: Sandbox,
    is_server_stopped: AtomicBool,
    is_shutting_down: AtomicBool,
    rotations: AtomicU64,
    metrics: PrometheusHandle,
}

impl App {
    pub(crate) async fn start(logs: Logs, lifetime: Duration) -> Result<Arc<Self>, BoxError> {
        let metrics = install_metrics()?;
        let sandbox = Sandbox::builder().token_lifetime(lifetime).start().await?;
        // At half of its life, so that a stopped server is noticed early. A service keeps the default.
        let refresh = RefreshPolicy::default().refresh_at(0.5);
        // With PayNet: `Environment::production()`, and `Credentials::from_env(..)?`.
        let auth =
            paynet::auth(&sandbox.environment(), sandbox.credentials())?.name("reports").refresh(refresh).build()?;
        let (counts, handle) = (Arc::new(Counts::default()), auth.handle());
        Ok(Arc::new(Self {
            client: client(PayNetLayer::from(auth), &counts)?,
            handle,
            counts,
            logs,
            lifetime,
            sandbox,
            is_server_stopped: AtomicBool::new(false),
            is_shutting_down: AtomicBool::new(false),
            rotations: AtomicU64::new(0),
            metrics,
        }))
    }

    pub(crate) fn reports_url(&self) -> String {
        format!("{}/v1/reports/types", self.sandbox.environment().api_origin())
    }

    /// Returns what Prometheus gets.
    pub(crate) fn page(&self) -> Page {
        Page::new(self.metrics.render())
    }

    pub(crate) fn is_server_stopped(&self) -> bool {
        self.is_server_stopped.load(Relaxed)
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.is_shutting_down.load(Relaxed)
    }

    pub(crate) fn begin_shutdown(&self) {
        self.is_shutting_down.store(true, Relaxed);
    }

    pub(crate) fn press(&self, key: Key) {
        match key {
            Key::Revoke => self.sandbox.revoke_tokens(),
            Key::StopServer if self.is_server_stopped.fetch_xor(true, Relaxed) => self.sandbox.clear_faults(),
            Key::StopServer => self.sandbox.inject(Fault::token(FaultKind::Reset).times(u32::MAX)),
            Key::Rotate => {
                let rotation = self.rotations.fetch_add(1, Relaxed) + 1;
                // The sandbox and the layer share these credentials, so both know the new secret.
                self.sandbox.credentials().rotate(format!("secret-{rotation}"));
            }
            Key::Quit => self.begin_shutdown(),
        }
    }
}

fn client(layer: PayNetLayer, counts: &Arc<Counts>) -> Result<Client, AuthError> {
    let (https, counts) = (HttpsClient::new()?, Arc::clone(counts));
    // Inside the layer: who gets here does not wait for a token.
    let at_the_api = service_fn(move |request: Request<Full<Bytes>>| {
        let (https, inside) = (https.clone(), counts.at_the_api.enter());
        async move {
            let response = https.oneshot(request).await;
            drop(inside);
            response
        }
    });
    let client = ServiceBuilder::new().layer(layer).service(at_the_api);
    Ok(BoxCloneSyncService::new(client.map_response(|response| response.map(Body::new))))
}

/// Without buckets, histograms are rendered as summaries, which cannot be added up over instances.
fn install_metrics() -> Result<PrometheusHandle, BoxError> {
    let ours = Matcher::Prefix("outbound_auth_".to_owned());
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(ours, &BUCKETS)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    Ok(handle)
}

/// In seconds, up to the deadline of a fetch.
const BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

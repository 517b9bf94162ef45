//! An authorization server whose tokens end when they should, with an API that knows a dead token when it sees one.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

#[derive(Clone)]
pub(crate) struct Server {
    lifetime: Duration,
    /// Of a token request, after the token was made.
    latency: Duration,
    state: Arc<Mutex<Seen>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// By their names, with their ends.
    tokens: HashMap<String, Instant>,
    pub(crate) token_requests: usize,
    pub(crate) calls: usize,
    /// Calls with a token that had ended, or with none of ours.
    pub(crate) dead: usize,
    /// The time that each call was signed for, where it was signed.
    pub(crate) signed_for: Vec<i64>,
    /// Whether token requests are answered with 503.
    fails: bool,
}

impl Server {
    pub(crate) fn new(lifetime: Duration, latency: Duration) -> Self {
        Self { lifetime, latency, state: Arc::default() }
    }

    pub(crate) async fn listen(&self, address: &str) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/token", post(token))
            .route("/count", get(async |State(server): State<Self>| server.seen().token_requests.to_string()))
            .route("/api", get(api))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(address)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fail(&self, yes: bool) {
        self.note(|seen| seen.fails = yes);
    }

    fn note<T>(&self, what: impl FnOnce(&mut Seen) -> T) -> T {
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn token(State(server): State<Server>) -> Result<Json<Value>, StatusCode> {
    let (name, fails) = server.note(|seen| {
        seen.token_requests += 1;
        let name = format!("token-{}", seen.token_requests);
        seen.tokens.insert(name.clone(), Instant::now() + server.lifetime);
        (name, seen.fails)
    });
    sleep(server.latency).await;
    if fails {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(Json(json!({ "access_token": name, "token_type": "Bearer", "expires_in": server.lifetime.as_secs_f64() })))
}

async fn api(State(server): State<Server>, headers: HeaderMap) -> (StatusCode, String) {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = token.unwrap_or_default();
    server.note(|seen| {
        seen.calls += 1;
        let signed_for: Option<i64> = headers.get("x-timestamp").and_then(|value| value.to_str().ok()?.parse().ok());
        seen.signed_for.extend(signed_for);
        if seen.tokens.get(token).is_some_and(|end| Instant::now() < *end) {
            return (StatusCode::OK, token.to_owned());
        }
        seen.dead += 1;
        (StatusCode::UNAUTHORIZED, token.to_owned())
    })
}

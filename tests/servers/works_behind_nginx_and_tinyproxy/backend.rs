//! Token endpoint and API over plain HTTP, which stop, start again and hang as they are told.

use std::{
    collections::HashSet,
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Form, State},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::AbortHandle};

#[derive(Clone, Default)]
pub(crate) struct Backend {
    state: Arc<Mutex<Seen>>,
    running: Arc<Mutex<Option<AbortHandle>>>,
}

#[derive(Clone, Default)]
pub(crate) struct Seen {
    hangs: bool,
    valid: HashSet<String>,
    pub(crate) token_requests: usize,
    pub(crate) calls: usize,
    /// nginx's number for the connection of each call, and how many requests that has had.
    pub(crate) connections: Vec<(u64, u64)>,
}

#[derive(Deserialize)]
struct Grant {
    client_secret: String,
}

impl Backend {
    /// Listens, on the same port as before if it had one.
    pub(crate) async fn start(&self, address: Option<SocketAddr>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address.unwrap_or(([127, 0, 0, 1], 0).into())).await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/token", post(token)).route("/api", get(api)).with_state(self.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        *lock(&self.running) = Some(task.abort_handle());
        Ok(address)
    }

    pub(crate) fn stop(&self) {
        lock(&self.running).take().inspect(AbortHandle::abort);
    }

    pub(crate) fn hang(&self, yes: bool) {
        lock(&self.state).hangs = yes;
    }

    pub(crate) fn revoke(&self) {
        lock(&self.state).valid.clear();
    }

    pub(crate) fn seen(&self) -> Seen {
        lock(&self.state).clone()
    }
}

async fn token(State(backend): State<Backend>, Form(grant): Form<Grant>) -> Result<Json<Value>, StatusCode> {
    let (name, hangs) = {
        let mut seen = lock(&backend.state);
        seen.token_requests += 1;
        let name = format!("token-{}", seen.token_requests);
        seen.valid.insert(name.clone());
        (name, seen.hangs)
    };
    if hangs {
        pending::<()>().await;
    }
    if grant.client_secret != super::user::SECRET {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(Json(json!({ "access_token": name, "token_type": "Bearer", "expires_in": 3600 })))
}

async fn api(State(backend): State<Backend>, headers: HeaderMap) -> (StatusCode, &'static str) {
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = field(AUTHORIZATION.as_str()).trim_start_matches("Bearer ");
    let (known, hangs) = {
        let mut seen = lock(&backend.state);
        seen.calls += 1;
        let connection = field("x-connection").split_once(' ').unwrap_or_default();
        seen.connections.push((connection.0.parse().unwrap_or(0), connection.1.parse().unwrap_or(0)));
        (seen.valid.contains(token), seen.hangs)
    };
    if hangs {
        pending::<()>().await;
    }
    if known { (StatusCode::OK, "hello") } else { (StatusCode::UNAUTHORIZED, "who is it?") }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The server of these examples: a token endpoint, and an API that accepts the newest token alone.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

pub use axum;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A server on a free port of this machine.
pub struct Server {
    origin: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    tokens: AtomicU32,
    valid: AtomicU32,
    accepted: AtomicU32,
    rejected: AtomicU32,
}

impl Server {
    /// Serves these routes behind the check of the token.
    pub async fn start(api: Router) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let counts = Arc::new(Counts::default());
        let routes = api
            .layer(from_fn_with_state(Arc::clone(&counts), check))
            .merge(Router::new().route("/token", post(issue)).with_state(Arc::clone(&counts)));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { origin, counts })
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn token_url(&self) -> String {
        format!("{}/token", self.origin)
    }

    /// From now on, the API rejects the tokens that were issued so far.
    pub fn revoke_tokens(&self) {
        self.counts.valid.store(self.counts.tokens.load(SeqCst) + 1, SeqCst);
    }

    /// Checks what came in, and says so.
    pub fn expect(&self, token_requests: u32, accepted: u32, rejected: u32) {
        let counts =
            [&self.counts.tokens, &self.counts.accepted, &self.counts.rejected].map(|count| count.load(SeqCst));
        assert_eq!(counts, [token_requests, accepted, rejected], "token requests, accepted, rejected");
        println!("token requests: {token_requests}, accepted: {accepted}, rejected and replayed: {rejected}");
    }
}

async fn issue(State(counts): State<Arc<Counts>>) -> Json<Value> {
    let number = counts.tokens.fetch_add(1, SeqCst) + 1;
    Json(json!({ "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": 3600 }))
}

async fn check(State(counts): State<Arc<Counts>>, request: Request, next: Next) -> Response {
    let values: Vec<_> =
        request.headers().get_all(AUTHORIZATION).iter().filter_map(|value| value.to_str().ok()).collect();
    let number = match values[..] {
        [value] => value.strip_prefix("Bearer token-").and_then(|number| number.parse::<u32>().ok()),
        _ => None,
    };
    if number.is_some_and(|number| number >= counts.valid.load(SeqCst)) {
        counts.accepted.fetch_add(1, SeqCst);
        next.run(request).await
    } else {
        counts.rejected.fetch_add(1, SeqCst);
        (StatusCode::UNAUTHORIZED, Json(json!({ "message": "no valid token" }))).into_response()
    }
}

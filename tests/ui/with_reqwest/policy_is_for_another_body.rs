//! says: `Own` cannot replay a request with the body `RequestBody`
//! says: this needs another replay policy, or another body

use tower_outbound_auth::{AuthLayer, replay::Replay, reqwest::AuthMiddleware};

#[derive(Clone)]
struct Own;

impl Replay<String> for Own {
    fn clone_body(&self, body: &String) -> Option<String> {
        Some(body.clone())
    }
}

fn middleware(auth: AuthLayer<Own>) -> AuthMiddleware {
    AuthMiddleware::from(auth)
}

fn main() {}

//! says: is not a source of tokens
//! says: for a closure, use `source_fn(move |request| async move { .. })`

use std::time::Duration;

use tower_outbound_auth::{AuthError, AuthLayer, token::{AccessToken, FetchRequest}};

fn layer() -> Result<AuthLayer, AuthError> {
    let source = |_: FetchRequest| AccessToken::new("made-by-hand", Some(Duration::from_secs(600)));
    AuthLayer::builder(source).origin("https://api.example.com").build()
}

fn main() {}

//! says: is no source of tokens
//! says: write `impl TokenSource for` a type of yours: a closure is none

use std::time::Duration;

use tower_outbound_auth::{AuthError, AuthLayer, token::{AccessToken, FetchRequest}};

fn layer() -> Result<AuthLayer, AuthError> {
    let source = |_: FetchRequest| AccessToken::new("made-by-hand", Some(Duration::from_secs(600)));
    AuthLayer::builder(source).origin("https://api.example.com").build()
}

fn main() {}

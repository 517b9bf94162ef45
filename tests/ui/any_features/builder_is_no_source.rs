//! says: `ClientCredentialsBuilder` is no source of tokens
//! says: `ClientCredentials::builder(token_url, credentials).build()?`

use tower_outbound_auth::{AuthError, AuthLayer, ClientCredentials, Credentials};

fn layer(credentials: Credentials) -> Result<AuthLayer, AuthError> {
    let source = ClientCredentials::builder("https://login.example.com/token", credentials);
    AuthLayer::builder(source).origin("https://api.example.com").build()
}

fn main() {}

//! says: `ClientCredentialsGrantBuilder` is not a source of tokens
//! says: `ClientCredentialsGrant::builder(token_url, credentials).build()?`

use tower_outbound_auth::{AuthError, AuthLayer, Credentials, oauth::ClientCredentialsGrant};

fn layer(credentials: Credentials) -> Result<AuthLayer, AuthError> {
    let source = ClientCredentialsGrant::builder("https://login.example.com/token", credentials);
    AuthLayer::builder(source).origin("https://api.example.com").build()
}

fn main() {}

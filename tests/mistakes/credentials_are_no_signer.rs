//! says: `Credentials` makes no signatures
//! says: `TimestampHmac::sha256(credentials)` signs as PayNet wants it

use tower_outbound_auth::{AuthError, AuthLayer, Credentials, SignRules, oauth::ClientCredentialsGrant};

fn layer(source: ClientCredentialsGrant, credentials: Credentials) -> Result<AuthLayer, AuthError> {
    AuthLayer::builder(source).origin("https://api.example.com").sign(SignRules::all(), credentials).build()
}

fn main() {}

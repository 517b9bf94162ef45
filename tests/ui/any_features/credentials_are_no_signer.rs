//! says: `Credentials` is not a `Signer`
//! says: `TimestampHmac::sha256(credentials)` signs as PayNet requires

use tower_outbound_auth::{AuthError, AuthLayer, Credentials, oauth::ClientCredentialsGrant, signing::SignRules};

fn layer(source: ClientCredentialsGrant, credentials: Credentials) -> Result<AuthLayer, AuthError> {
    AuthLayer::builder(source).origin("https://api.example.com").sign(SignRules::all(), credentials).build()
}

fn main() {}

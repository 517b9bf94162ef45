//! says: // else a `service_fn`

use tower_outbound_auth::{AuthError, Credentials, oauth::ClientCredentialsGrant};

fn source(credentials: Credentials) -> Result<ClientCredentialsGrant, AuthError> {
    let login = "https://login.example.com/token";
    ClientCredentialsGrant::builder(login, credentials).transport(reqwest::Client::new()).build()
}

fn main() {}

//! says: // else a `service_fn`

use tower_outbound_auth::{AuthError, ClientCredentials, Credentials};

fn source(credentials: Credentials) -> Result<ClientCredentials, AuthError> {
    let login = "https://login.example.com/token";
    ClientCredentials::builder(login, credentials).transport(reqwest::Client::new()).build()
}

fn main() {}

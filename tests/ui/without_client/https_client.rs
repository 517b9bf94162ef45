//! says: the item is gated behind the `client` feature

use tower_outbound_auth::{AuthError, client::HttpsClient};

fn client() -> Result<HttpsClient, AuthError> {
    HttpsClient::new()
}

fn main() {}

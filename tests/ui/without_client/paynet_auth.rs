//! says: the item is gated behind the `client` feature
//! says: // without it: `source(..).transport(..)` and `rules()`

use tower_outbound_auth::{AuthError, AuthLayer, Credentials, paynet};

fn layer(credentials: Credentials) -> Result<AuthLayer, AuthError> {
    paynet::auth(&paynet::Environment::non_production(), credentials)?.build()
}

fn main() {}

//! says: expected `Auth<Connection>`, found `AuthLayer`

use tower_outbound_auth::{Auth, AuthLayer};

struct Connection;

struct Client {
    api: Auth<Connection>,
}

fn client(auth: AuthLayer) -> Client {
    Client { api: auth }
}

fn main() {}

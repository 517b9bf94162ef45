//! says: the item is gated behind the `reqwest` feature

use tower_outbound_auth::reqwest::AuthMiddleware;

fn main() {}

//! says: the item is gated behind the `sandbox` feature

use tower_outbound_auth::sandbox::Sandbox;

async fn server() {
    Sandbox::start().await;
}

fn main() {}

//! says: cannot find `Client` in `reqwest`

use tower_outbound_auth::reqwest;

fn client() -> reqwest::Client {
    reqwest::Client::new()
}

fn main() {}

//! says: the trait bound `AuthLayer: reqwest_middleware::Middleware` is not satisfied
//! says: is implemented for `AuthMiddleware`

use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tower_outbound_auth::AuthLayer;

fn client(auth: AuthLayer) -> ClientWithMiddleware {
    ClientBuilder::new(reqwest::Client::new()).with(auth).build()
}

fn main() {}

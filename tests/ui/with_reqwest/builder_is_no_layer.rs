//! says: `AuthMiddleware: From<AuthLayerBuilder>` is not satisfied
//! says: AuthLayer<

use tower_outbound_auth::{AuthLayerBuilder, reqwest::AuthMiddleware};

fn middleware(builder: AuthLayerBuilder) -> AuthMiddleware {
    AuthMiddleware::from(builder)
}

fn main() {}

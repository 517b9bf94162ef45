//! Prints its origin and serves until it is ended: a token endpoint, `/orders` and gRPC's health check.

use std::{error::Error, future::pending};

use axum::{body::Bytes, routing::get};
use example_server::Server;
use tonic::service::Routes;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let routes = Routes::new(health).into_axum_router();
    let orders = get(async || "[]").post(async |order: Bytes| order);
    let server = Server::start(routes.route("/orders", orders)).await?;
    println!("{}", server.origin());
    pending().await
}

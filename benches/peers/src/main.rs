//! This crate beside other crates, driven the same way: one request, many callers without a token, expiring tokens.
//!
//! `cargo run --release`; see the README.

mod allocations;
mod api;
mod endpoint;
mod expiry;
mod herd;
mod peers;
#[path = "../../support/report.rs"]
mod support;
mod warm;
mod world;

use std::env;

use support::Report;
use tower_outbound_auth::BoxError;

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [plugin, address] = arguments.as_slice()
        && plugin == peers::kube::PLUGIN
    {
        return endpoint::plugin(address);
    }
    let wanted = |table: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == table);
    let mut report = Report::new("peers");
    if wanted("warm") {
        warm::run(&mut report)?;
    }
    if wanted("herd") {
        herd::run(&mut report)?;
        herd::failing(&mut report)?;
    }
    if wanted("expiry") {
        expiry::run(&mut report)?;
    }
    report.finish()?;
    Ok(())
}

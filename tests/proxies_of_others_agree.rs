//! nginx in front of the servers, and tinyproxy in front of the client, let tokens and requests through, and their own
//! answers are read as what they are.
//!
//! Each test takes nginx or tinyproxy, so they are left out unless asked for:
//! `cargo test --test proxies_of_others_agree -- --ignored`. Asked for without these they fail.
#![cfg(all(feature = "client", unix))]
#![expect(clippy::disallowed_methods, reason = "servers of others take real time")]

#[path = "proxies_of_others_agree/backend.rs"]
mod backend;
#[path = "proxies_of_others_agree/daemon.rs"]
mod daemon;
#[path = "proxies_of_others_agree/forward.rs"]
mod forward;
#[path = "proxies_of_others_agree/limits.rs"]
mod limits;
#[path = "proxies_of_others_agree/nginx.rs"]
mod nginx;
#[path = "proxies_of_others_agree/reverse.rs"]
mod reverse;
#[path = "proxies_of_others_agree/user.rs"]
mod user;

use tower_outbound_auth::BoxError;

type TestResult = Result<(), BoxError>;

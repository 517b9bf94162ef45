//! nginx in front of the servers, and tinyproxy or Apache in front of the client, let tokens and requests through, and their
//! own answers are read as what they are. None of them gives a credential to another.
//!
//! Each test takes nginx, tinyproxy or Apache, so they are left out unless asked for:
//! `cargo test --test servers -- --ignored nginx`. Asked for without these they fail.
#![expect(clippy::disallowed_methods, reason = "servers of others take real time")]

mod apache;
mod backend;
mod company;
mod daemon;
mod forward;
mod limits;
mod nginx;
mod reverse;
mod tenants;
mod user;

use tower_outbound_auth::BoxError;

type TestResult = Result<(), BoxError>;

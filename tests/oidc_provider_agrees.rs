//! oidc-provider, an authorization server of others, understands this crate, and is understood.
//!
//! Each test takes Node.js, OpenSSL and `npm ci` in `tests/oidc`, so they are left out unless asked for:
//! `cargo test --test oidc_provider_agrees -- --ignored`. Asked for without these they fail.
#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "a real server takes real time")]

#[path = "oidc_provider_agrees/certificates.rs"]
mod certificates;
#[path = "oidc_provider_agrees/server.rs"]
mod server;
#[path = "oidc_provider_agrees/tokens.rs"]
mod tokens;
#[path = "oidc_provider_agrees/trouble.rs"]
mod trouble;

use tower_outbound_auth::BoxError;

type TestResult = Result<(), BoxError>;

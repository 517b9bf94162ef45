//! oidc-provider, an authorization server of others, understands this crate, and is understood.
//!
//! Each test takes Node.js, OpenSSL and `npm ci` in `tests/oidc`, so they are left out unless asked for:
//! `cargo test --test servers -- --ignored oidc_provider`. Asked for without these they fail.
#![expect(clippy::expect_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "a real server takes real time")]

#[cfg(feature = "jwt")]
mod assertions;
mod certificates;
mod server;
mod tokens;
mod trouble;

use tower_outbound_auth::BoxError;

type TestResult = Result<(), BoxError>;

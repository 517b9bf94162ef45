//! How the crate introduces itself to servers and proxies.

/// The `User-Agent` of requests that have none of their own.
pub(crate) const PRODUCT: &str = concat!("tower-outbound-auth/", env!("CARGO_PKG_VERSION"));

//! Servers and proxies of others: some in memory with the habits that servers are known for, some the real programs.
#![cfg(any(feature = "client", feature = "paynet"))]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a counterpart in a test may panic")]

#[path = "../support/mod.rs"]
mod support;
#[cfg(all(feature = "client", unix))]
mod works_behind_nginx_and_tinyproxy;
#[cfg(feature = "client")]
mod works_with_oidc_provider;
#[cfg(feature = "paynet")]
mod works_with_the_settings_of_the_guide;

//! A process of its own, since it starts and stops (SIGSTOP) others and measures real time meanwhile: processes that stand
//! still, clocks that are wrong, names without an address, no file descriptor left. Nothing hangs, no request carries an
//! expired token, and all is well as soon as the machine is. Likewise where nobody reads what is traced.
//!
//! `STOPPED_SECONDS=20` is the long form of what stands still; 4 without it. Other processes here are this program, with
//! its test `the_other_process`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]
#![expect(clippy::disallowed_methods, reason = "other processes live in real time")]

#[cfg(feature = "sandbox")]
mod clocks_are_wrong;
mod names_have_no_address;
mod no_file_descriptor_is_left;
#[cfg(feature = "tracing")]
mod nobody_reads_what_is_traced;
mod process;
mod resolver;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod the_client_is_suspended;
mod the_clock_jumps;
mod the_token_server_stands_still;

use std::time::Duration;

use tower_outbound_auth::BoxError;

type TestResult = Result<(), BoxError>;

/// For what never comes.
const A_HANG: Duration = Duration::from_secs(60);

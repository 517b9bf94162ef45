//! The machine itself is in trouble: processes that stand still, clocks that are wrong, names without an address, no file
//! descriptor left. Nothing hangs, nobody gets a dead token, and all is well as soon as the machine is.
//!
//! `STOPPED_SECONDS=20` is the long form of what stands still; 4 without it. Other processes here are this program, with
//! its test `the_other_process`.
#![cfg(all(feature = "client", unix))]
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]
#![expect(clippy::disallowed_methods, reason = "other processes live in real time")]

#[cfg(feature = "sandbox")]
#[path = "a_troubled_machine_harms_nobody/clocks.rs"]
mod clocks;
#[path = "a_troubled_machine_harms_nobody/files.rs"]
mod files;
#[path = "a_troubled_machine_harms_nobody/names.rs"]
mod names;
#[path = "a_troubled_machine_harms_nobody/process.rs"]
mod process;
#[path = "a_troubled_machine_harms_nobody/resolver.rs"]
mod resolver;
#[path = "a_troubled_machine_harms_nobody/server.rs"]
mod server;
#[path = "a_troubled_machine_harms_nobody/stopped_server.rs"]
mod stopped_server;
#[path = "a_troubled_machine_harms_nobody/suspended_client.rs"]
mod suspended_client;
#[cfg(feature = "sandbox")]
#[path = "support/user.rs"]
mod user;

use std::time::Duration;

use tower_outbound_auth::BoxError;

type TestResult = Result<(), BoxError>;

/// For what never comes.
const A_HANG: Duration = Duration::from_secs(60);

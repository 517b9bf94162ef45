//! Shared by the benchmarks.

#![allow(dead_code, unused_imports, reason = "not every benchmark uses all of it")]

mod report;
pub(crate) mod sockets;
pub(crate) mod stand_ins;

pub(crate) use self::report::{Report, Rounds, median, quantile};

//! Whatever a server sends and whatever a user writes: no panic, no leak of a secret, and the answer of a second opinion.
//!
//! Each module is one target: bytes in, the public API of the crate driven with what they stand for, and its promises
//! asserted. The same functions run under `cargo fuzz` and, on stable Rust, under this crate's own runner.

#![forbid(unsafe_code)]

pub mod challenges;
pub mod dates;
pub mod origins;
pub mod rejection_bodies;
pub mod replay_bodies;
pub mod sign_rules;
pub mod token_answers;

mod body;
mod drive;
mod http_date;
mod input;
#[path = "../../replay/replay_model.rs"]
mod replay_model;
#[path = "../../replay/replay_run.rs"]
mod replay_run;
mod stack;
mod token_opinion;

/// A target's name, which is also its folder in `corpus`, and its function.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 7] = [
    ("token_answers", token_answers::run),
    ("challenges", challenges::run),
    ("dates", dates::run),
    ("origins", origins::run),
    ("sign_rules", sign_rules::run),
    ("rejection_bodies", rejection_bodies::run),
    ("replay_bodies", replay_bodies::run),
];

//! Fuzz targets: whatever a server sends and a user writes, there is no panic, no secret is revealed, and the result is that
//! of a second opinion.
//!
//! Each module is one target. It turns bytes into calls of the public API and checks the guarantees. The same functions run
//! under `cargo fuzz` and, on stable Rust, under the runner in `main.rs`.

#![forbid(unsafe_code)]

pub mod assertion_files;
pub mod assertion_keys;
pub mod challenges;
pub mod dates;
pub mod discovery_documents;
pub mod origins;
pub mod rejection_bodies;
pub mod replay_bodies;
pub mod sign_rules;
pub mod token_answers;

mod body;
mod clock_opinion;
mod drive;
mod http_date;
mod input;
#[path = "../../replay/replay_model.rs"]
mod replay_model;
#[path = "../../replay/replay_run.rs"]
mod replay_run;
mod stack;
mod token_opinion;

/// Name of a target, which is also its folder in `corpus`, and its function.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 10] = [
    ("token_answers", token_answers::run),
    ("challenges", challenges::run),
    ("dates", dates::run),
    ("origins", origins::run),
    ("sign_rules", sign_rules::run),
    ("rejection_bodies", rejection_bodies::run),
    ("replay_bodies", replay_bodies::run),
    ("assertion_keys", assertion_keys::run),
    ("assertion_files", assertion_files::run),
    ("discovery_documents", discovery_documents::run),
];

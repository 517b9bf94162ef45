//! Bodies that are sent twice: the replay policies, and streams in a `ReplayBody`.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the tests sleep on paused time, or bound a test that hangs")]

mod a_copy_may_begin_while_another_is_read;
mod a_stream_is_replayed_through_the_layer;
mod an_upload_is_replayed_over_sockets;
mod copies_follow_a_plain_model;
mod every_body_works_with_its_policy;
mod refused_upload;
mod replay_model;
mod replay_run;
#[path = "../support/mod.rs"]
mod support;

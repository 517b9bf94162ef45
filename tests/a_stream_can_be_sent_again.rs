//! A stream in a `ReplayBody` is sent again whole or not at all, and the first sending of it loses nothing.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[path = "a_stream_can_be_sent_again/by_the_rules.rs"]
mod by_the_rules;
#[path = "a_stream_can_be_sent_again/memory.rs"]
mod memory;
#[path = "a_stream_can_be_sent_again/over_sockets.rs"]
mod over_sockets;
#[path = "a_stream_can_be_sent_again/replay_model.rs"]
mod replay_model;
#[path = "a_stream_can_be_sent_again/replay_run.rs"]
mod replay_run;
mod support;
#[path = "a_stream_can_be_sent_again/through_the_layer.rs"]
mod through_the_layer;
#[path = "a_stream_can_be_sent_again/while_it_is_read.rs"]
mod while_it_is_read;

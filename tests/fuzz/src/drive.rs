//! Runs a future to completion, within limits of polls and memory.

use std::{
    future::{Future, poll_fn},
    pin::pin,
};

use tokio::runtime::{Builder, Runtime};

thread_local! {
    /// With paused time: waiting costs nothing, and nothing depends on the machine's speed.
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
}

/// What a future may use.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) polls: usize,
    /// The maximum that is allocated at one time, beyond what was before.
    pub(crate) bytes: u64,
}

pub(crate) fn drive<F: Future>(limits: Limits, future: F) -> F::Output {
    let mut output = None;
    let mut polls = 0;
    let memory = allocation_counter::measure(|| {
        output = Some(RUNTIME.with(|runtime| {
            runtime.block_on(async {
                let mut future = pin!(future);
                poll_fn(|cx| {
                    polls += 1;
                    assert!(polls <= limits.polls, "still not done after {} polls", limits.polls);
                    future.as_mut().poll(cx)
                })
                .await
            })
        }));
    });
    assert!(memory.bytes_max <= limits.bytes, "{} bytes allocated at one time", memory.bytes_max);
    output.expect("measured once")
}

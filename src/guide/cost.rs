//! What a request pays for its login, and what grows with what.
//!
//! # A warm request
//!
//! With a usable token at hand, a call reads one clock, loads the token from an `ArcSwap`, inserts headers that were built
//! before, and calls the inner service. It takes no lock, makes no task, no timer and no box, and allocates nothing but what
//! inserting the headers does. Instructions of a call from the handing over of the request to the dropping of the response,
//! counted by callgrind with eight headers present already, a token of 800 bytes and an inner service that does nothing:
//!
#![doc = include_str!("../../benches/budgets.md")]
//!
//! `tests/all.sh` holds each figure to 3 %. What they are made of, beyond the inner service; the nanoseconds are of each part
//! alone, where a request of eight headers takes 560 to make:
//!
//! | | costs | ns | why |
//! |---|---|---|---|
//! | scope | a comparison of scheme, host and port | | a URI is not parsed again, its authority is compared as text |
//! | a caller's own `Authorization` | a search among the headers | 11 | it is kept, by default |
//! | the clock | one read of `CLOCK_MONOTONIC_COARSE`; a second one, of the wall clock, to sign | 7.5 | a timer that fires late would let a dead token out |
//! | the token | a load from an `ArcSwap` | 5.6 | it is replaced while others use it |
//! | | a reference to its header, which is built once | 3.7 | as a static header |
//! | the response | a reference to the layer's settings, a look at the status | 3.7 | to know a rejection when it comes |
//! | its error | a `BoxError` in place of the inner one | 17 | by `MapErr`, which does nothing else; it is 1.11 of a bare call |
//! | a signature | two references to headers that are made once a second | | all requests of one second have the same |
//! | [`CloneBody`](crate::CloneBody), the default | a copy of head and body, in a box | | to be sent again, with a new token |
//!
//! So a call alone cannot come to 1.15 of a static header's: scope, clock, token and the error's box take more than that by
//! themselves. From the making of the request to its end it is 1.13.
//!
//! Each of these references is counted on a cache line of one thread's own, as far as there are cores: threads do not slow
//! each other down, as they do where all clone one header. A response future is 16 bytes larger than the inner one.
//!
//! # Other requests
//!
//! | a request | pays besides |
//! |---|---|
//! | that starts a refresh, three quarters through the token's life | a lock, and a task to start; it goes on with the old token |
//! | that waits for a token | a box with the request, and its place among the waiters: some 150 bytes over the request's own, 260 with a `max_wait` |
//! | that was rejected | its second sending, and the reading of the first answer, up to 64 KiB or 100 ms |
//!
//! # What grows with what
//!
//! | with | grows | |
//! |---|---|---|
//! | headers of a request | nothing of ours under `NoReplay`; the copy under `CloneBody` | linear |
//! | the token's length | nothing: it is copied once for each core when it comes | |
//! | threads | nothing, up to the number of cores, or 64 | |
//! | requests that wait | memory for each; the time to wake them | linear |
//! | layers in a process | memory for each, 1.5 KiB and the token once for each core; an idle one runs nothing. Of 1,000 that take turns each finds its memory cold: six times the time of one | linear |
//! | origins | a comparison each, until one matches | linear |
//! | sign rules | nothing to speak of: a radix tree finds the path | |
//!
//! Over HTTP/2 the bytes of the header cost more than the layer: a static one of 800 bytes leaves a client 0.83 of its requests
//! a second, since HPACK keeps no secret in its table and codes it anew each time; with the layer it is the same.
//!
//! `benches/results/` has the measurements behind this page, and those against other crates; `benches/results.py` makes them.

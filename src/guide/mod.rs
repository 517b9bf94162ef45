//! The guide: what to decide before the first request goes out, a page a question.
//!
//! | page | answers |
//! |---|---|
//! | [`stack_order`] | Which layers belong outside of this one, and which inside? |
//! | [`transports`] | What to write over hyper, reqwest, tonic, a proxy or a Unix socket? |
//! | [`bodies`] | Which bodies can be sent again, under which policy? |
//! | [`errors_and_retries`] | What comes out when there is no token, and what is worth another try? |
//! | [`timeouts`] | Who waits for a token, for how long, and who pays when it comes late? |
//! | [`servers`] | Which setting does a server need that does not keep to the RFCs? |
//! | [`cost`] | What does a request pay for its login, and what grows with what? |
//!
//! The pages are for readers alone: a build of the crate has no such module. Their code runs with the tests.

// A new page is a file here, a row above and a line below.
pub mod bodies;
pub mod cost;
pub mod errors_and_retries;
pub mod servers;
pub mod stack_order;
pub mod timeouts;
pub mod transports;

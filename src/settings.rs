//! What a layer was built with, shared by everything that is made from it.

use std::{sync::Arc, time::Duration};

use crossbeam_utils::CachePadded;

use crate::{lanes::Lanes, rejection::Judge, stamp::Stamp, token::Refresher};

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) stamp: Arc<Stamp>,
    pub(crate) judge: Judge,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) max_wait: Option<Duration>,
}

/// What each request holds on to: its thread's copy, with a count of its own.
pub(crate) type Shared = Arc<CachePadded<Settings>>;

impl Settings {
    pub(crate) fn shared(self) -> Lanes<Shared> {
        Lanes::new(|| Arc::new(CachePadded::new(self.clone())))
    }
}

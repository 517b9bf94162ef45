//! What a layer was built with, shared by everything that is made from it.

use std::{ops::Deref, sync::Arc, time::Duration};

use crossbeam_utils::CachePadded;

use crate::{lanes::Lanes, rejection::Judge, stamp::Stamp, token::Refresher};

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) stamp: Stamp,
    pub(crate) judge: Judge,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) max_wait: Option<Duration>,
}

/// The settings, and what requests hold on to them by.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Arc<Settings>,
    holds: Lanes<Hold>,
}

/// A thread's way to the settings, counted on a cache line of its own.
pub(crate) type Hold = Arc<CachePadded<Arc<Settings>>>;

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let holds = Lanes::new(|| Arc::new(CachePadded::new(Arc::clone(&settings))));
        Self { settings, holds }
    }

    #[inline]
    pub(crate) fn hold(&self) -> Hold {
        Arc::clone(self.holds.mine())
    }
}

impl Deref for Shared {
    type Target = Settings;

    #[inline]
    fn deref(&self) -> &Settings {
        &self.settings
    }
}

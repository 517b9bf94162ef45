//! What a layer was built with, shared by everything that is made from it.

use std::{sync::Arc, time::Duration};

use crate::{rejection::Judge, stamp::Stamp, token::Refresher};

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) stamp: Stamp,
    pub(crate) judge: Judge,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) max_wait: Option<Duration>,
}

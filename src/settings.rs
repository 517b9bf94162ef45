//! What a layer was built with, shared by everything that is made from it.

use std::{sync::Arc, time::Duration};

use crate::{authorize::Authorizer, rejection::Classifier, telemetry::ToldOrigins, token::Fetcher};

/// Aligned so that the count of its references, which each request changes, has no cache line in common with what all
/// threads read.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Settings {
    pub(crate) authorizer: Authorizer,
    pub(crate) classifier: Classifier,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) max_wait: Option<Duration>,
    pub(crate) told_origins: ToldOrigins,
}

//! What a layer was built with, shared by everything that is made from it.

use std::{sync::Arc, time::Duration};

use crate::{authorize::Authorizer, rejection::Classifier, token::Fetcher};

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) authorizer: Authorizer,
    pub(crate) classifier: Classifier,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) max_wait: Option<Duration>,
}

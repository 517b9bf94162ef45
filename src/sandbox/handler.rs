//! `Handler`: the function that a test brings as its API.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};

#[derive(Clone)]
pub(super) struct Handler {
    function: Arc<dyn Fn(Request<Bytes>) -> Response<Bytes> + Send + Sync>,
}

impl Handler {
    pub(super) fn new<B>(function: impl Fn(Request<Bytes>) -> Response<B> + Send + Sync + 'static) -> Self
    where
        B: Into<Bytes>,
    {
        Self { function: Arc::new(move |request| function(request).map(Into::into)) }
    }

    pub(super) fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        (self.function)(request)
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

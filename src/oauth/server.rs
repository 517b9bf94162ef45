//! The server that token requests go to.

use http::Uri;

use super::{assertion::Assertion, discovery::Document};
use crate::{error::AuthError, origin::Origin};

/// A token endpoint, and what is known of its server.
pub(super) struct Server {
    /// As it was set, or as the document has it.
    pub(super) url: String,
    pub(super) uri: Uri,
    pub(super) origin: Origin,
    pub(super) document: Option<Document>,
}

impl Server {
    /// Refuses an assertion that is signed with an algorithm which the server does not support.
    pub(super) fn check(&self, assertion: &Assertion) -> Result<(), AuthError> {
        self.document.as_ref().map_or(Ok(()), |document| document.check_algorithm(assertion.expose_secret()))
    }
}

//! Where token requests go: to a URL that was set, or to the one that a discovery document names.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    discovery::{Discovery, Wanted},
    exchange::Exchange,
    server::Server,
};
use crate::{error::AuthError, origin::Origin};

pub(super) enum Endpoint {
    Given(Arc<Server>),
    Discovered(Box<Discovery>),
}

impl Endpoint {
    pub(super) fn given(url: &str, insecure_http: bool) -> Result<Self, AuthError> {
        let (uri, origin) = Origin::of_url("token_url", url)?;
        if !origin.is_trusted() && !insecure_http {
            return Err(AuthError::config(format!(
                "the token URL at {origin} would carry the secret in the clear; use https, or `allow_insecure_http` if that \
                 is intended"
            )));
        }
        Ok(Self::Given(Arc::new(Server { url: url.to_owned(), uri, origin, document: None })))
    }

    pub(super) fn discovered(issuer: &str, insecure_http: bool, wanted: Wanted) -> Result<Self, AuthError> {
        Ok(Self::Discovered(Box::new(Discovery::new(issuer, insecure_http, wanted)?)))
    }

    /// The server for the next token request; its document is read first if that is due.
    pub(super) async fn server(&self, exchange: &dyn Exchange, timeout: Duration) -> Result<Arc<Server>, AuthError> {
        match self {
            Self::Given(server) => Ok(Arc::clone(server)),
            Self::Discovered(discovery) => discovery.server(exchange, timeout).await,
        }
    }

    /// Something speaks against what the document says: it is read again before the next token request.
    pub(super) fn doubt(&self) {
        if let Self::Discovered(discovery) = self {
            discovery.expire();
        }
    }

    /// What was set, and its name.
    pub(super) fn name(&self) -> (&'static str, String) {
        match self {
            Self::Given(server) => ("token_url", server.uri.to_string()),
            Self::Discovered(discovery) => ("issuer", discovery.issuer().to_owned()),
        }
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        match self {
            Self::Given(_) => None,
            Self::Discovered(discovery) => Some(discovery.issuer()),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Some servers have a key in the path or the query.
            Self::Given(server) => server.origin.fmt(f),
            Self::Discovered(discovery) => f.debug_tuple("Discovered").field(&discovery.issuer()).finish(),
        }
    }
}

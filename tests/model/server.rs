//! The servers: which token the endpoint gives out, and how the API answers to one. The layer and the model face the same.

use crate::history::{Endpoint, Path};

/// For a status that means a rejection to this layer.
pub(crate) const REJECTED_AS_TOLD: u16 = 400;
/// Stands for a 401 that names `insufficient_scope`.
pub(crate) const SCOPE: u16 = 499;

/// The token endpoint and the API.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    /// Tokens are numbers from 1.
    given: u64,
    revoked: u64,
    takes: bool,
}

impl Server {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, given: 0, revoked: 0, takes: true }
    }

    /// The next token, or the last one again.
    pub(crate) fn give(&mut self, same: bool) -> u64 {
        if !same || self.given == 0 {
            self.given += 1;
        }
        self.given
    }

    pub(crate) fn revoke(&mut self) {
        self.revoked = self.given;
    }

    pub(crate) fn take(&mut self, any: bool) {
        self.takes = any;
    }

    /// The status that a request is going to get which arrives now.
    pub(crate) fn says(&self, path: Path, token: u64, is_replay: bool) -> u16 {
        match path {
            Path::Broken => 503,
            Path::Told => REJECTED_AS_TOLD,
            _ if !self.takes || token <= self.revoked => 401,
            Path::Good => 200,
            Path::Node => {
                if is_replay {
                    200
                } else {
                    401
                }
            }
            Path::Missing => 404,
            Path::Forbidden => 403,
            Path::Limited => 429,
            Path::Bad => 401,
            Path::Scope => SCOPE,
        }
    }
}

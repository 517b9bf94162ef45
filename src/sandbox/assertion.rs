//! Clients that authenticate with an assertion (RFC 7523, section 3).

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

use crate::oauth::PublicKey;

/// The key that the client signs with, and the assertions that were accepted.
#[derive(Debug)]
pub(super) struct Assertions {
    key: PublicKey,
    seen: Mutex<HashSet<String>>,
}

impl Assertions {
    pub(super) fn new(key: PublicKey) -> Self {
        Self { key, seen: Mutex::default() }
    }

    /// Whether this is a new assertion of this client, for one of these audiences.
    pub(super) fn accepts(&self, assertion: &str, client_id: &str, audiences: &[&str], unix_seconds: u64) -> bool {
        let Some(claims) = self.key.claims(assertion) else {
            return false;
        };
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| claims.get(name).and_then(Value::as_u64).unwrap_or(0);
        let is_ours = text("iss") == client_id && text("sub") == client_id && audiences.contains(&text("aud"));
        let is_current = number("iat") <= unix_seconds + LEEWAY && unix_seconds < number("exp");
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        is_ours && is_current && !text("jti").is_empty() && seen.insert(text("jti").to_owned())
    }
}

/// In seconds, as many servers allow.
const LEEWAY: u64 = 10;

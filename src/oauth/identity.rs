//! What tells the tokens of one grant from those of another.

use sha2::{Digest, Sha256};

/// The facts that make up a token request, without the secret. Their order does not count, nor that of scopes.
#[derive(Default)]
pub(super) struct Identity {
    /// A kind, a name and the digest of a value, which may be a credential.
    facts: Vec<(&'static str, String, [u8; 32])>,
}

impl Identity {
    pub(super) fn with(mut self, kind: &'static str, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.facts.push((kind, name.to_owned(), Sha256::digest(value).into()));
        self
    }

    /// A parameter of the body; `scope` is a set (RFC 6749, section 3.3).
    pub(super) fn with_param(self, name: &str, value: &str) -> Self {
        if name != "scope" {
            return self.with("param", name, value);
        }
        let mut scopes: Vec<_> = value.split(' ').filter(|scope| !scope.is_empty()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        self.with("param", name, scopes.join(" "))
    }

    pub(super) fn digest(mut self) -> [u8; 32] {
        self.facts.sort_unstable();
        self.facts.dedup();
        let mut digest = Sha256::new_with_prefix(b"tower-outbound-auth grant\0");
        for (kind, name, value) in &self.facts {
            for part in [kind.as_bytes(), name.as_bytes(), value] {
                // With its length, so that no two lists look alike.
                digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                digest.update(part);
            }
        }
        digest.finalize().into()
    }
}

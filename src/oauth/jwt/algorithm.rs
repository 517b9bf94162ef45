//! The algorithms that assertions are signed with.

/// Signature algorithm of an assertion (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `PS256`: RSASSA-PSS with SHA-256. FAPI 2.0 allows this one, `Es256` and `EdDsa`.
    Ps256,
    /// `RS256`: RSASSA-PKCS1-v1_5 with SHA-256. What most servers support.
    Rs256,
    /// `ES256`: ECDSA on P-256 with SHA-256.
    Es256,
    /// `ES384`: ECDSA on P-384 with SHA-384.
    Es384,
    /// `EdDSA`: Ed25519.
    EdDsa,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

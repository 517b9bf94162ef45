//! Verifies assertions, for the sandbox.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;

use super::{algorithm::Algorithm, der, pem};
use crate::error::AuthError;

/// The public key of a client.
pub(crate) struct PublicKey {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl PublicKey {
    pub(crate) fn from_pem(algorithm: Algorithm, text: &[u8]) -> Result<Self, AuthError> {
        let spki = pem::public_key(text)?;
        let unreadable = || AuthError::config("the public key cannot be read; pass what `openssl pkey -pubout` writes");
        let key = der::public_key(&spki).ok_or_else(unreadable)?.to_vec();
        let verification: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
            Algorithm::EdDsa => &ED25519,
        };
        Ok(Self { algorithm, key: UnparsedPublicKey::new(verification, key) })
    }

    /// The claims of an assertion that is signed with this key.
    pub(crate) fn claims(&self, assertion: &str) -> Option<Value> {
        let (input, signature) = assertion.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let is_of_algorithm = json(header)?.get("alg")?.as_str()? == self.algorithm.name();
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.key.verify(input.as_bytes(), &signature).ok()?;
        json(claims).filter(|_| is_of_algorithm)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

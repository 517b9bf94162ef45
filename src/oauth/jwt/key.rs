//! Private keys, and signatures by ring.

use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use zeroize::Zeroizing;

use super::{
    algorithm::Algorithm,
    der, fault,
    pem::{self, PrivateKey},
};
use crate::error::AuthError;

pub(super) enum Key {
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// The first private key in the text.
    pub(super) fn from_pem(algorithm: Algorithm, text: &[u8]) -> Result<Self, AuthError> {
        let key = pem::private_key(text)?;
        let kind = match &key {
            PrivateKey::Pkcs8(der) => der::kind_of_pkcs8(der),
            PrivateKey::Pkcs1(der) => der::kind_of_pkcs1(der),
        };
        // What is known to be wrong is said, and not left to ring, which says less.
        if let Some(fault) = fault::of(algorithm, kind) {
            return Err(fault);
        }
        let read = match algorithm {
            Algorithm::Ps256 => rsa(&key, &RSA_PSS_SHA256),
            Algorithm::Rs256 => rsa(&key, &RSA_PKCS1_SHA256),
            Algorithm::Es256 => ecdsa(&key, &ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ecdsa(&key, &ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDsa => ed25519(&key),
        };
        // ring finds some damage of an RSA key only as it signs.
        read.filter(|key| key.sign(&[]).is_some()).ok_or_else(fault::damaged)
    }

    /// The signature in the form of RFC 7518, section 3, and RFC 8037, section 3.1.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key, encoding) => {
                let mut signature = Zeroizing::new(vec![0; key.public().modulus_len()]);
                key.sign(*encoding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Self::Ecdsa(key) => Some(Zeroizing::new(key.sign(&random, message).ok()?.as_ref().to_vec())),
            Self::Ed25519(key) => Some(Zeroizing::new(key.sign(message).as_ref().to_vec())),
        }
    }

    /// Whether a signature takes longer than a task may hold its thread.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self, Self::Rsa(key, _) if key.public().modulus_len() > QUICK_MODULUS)
    }
}

fn rsa(key: &PrivateKey, encoding: &'static dyn RsaEncoding) -> Option<Key> {
    let pair = match key {
        PrivateKey::Pkcs8(der) => RsaKeyPair::from_pkcs8(der),
        PrivateKey::Pkcs1(der) => RsaKeyPair::from_der(der),
    };
    Some(Key::Rsa(Box::new(pair.ok()?), encoding))
}

fn ecdsa(key: &PrivateKey, algorithm: &'static EcdsaSigningAlgorithm) -> Option<Key> {
    let PrivateKey::Pkcs8(der) = key else {
        return None;
    };
    EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new()).ok().map(Key::Ecdsa)
}

fn ed25519(key: &PrivateKey) -> Option<Key> {
    let PrivateKey::Pkcs8(der) = key else {
        return None;
    };
    // OpenSSL writes version 1, which has no public key to check.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Key::Ed25519)
}

/// 2048 bits, in bytes.
const QUICK_MODULUS: usize = 256;

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, KeyPair, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };
    use serde_json::Value;

    use super::*;

    fn public_key(key: &Key) -> Vec<u8> {
        match key {
            Key::Rsa(key, _) => key.public_key().as_ref().to_vec(),
            Key::Ecdsa(key) => key.public_key().as_ref().to_vec(),
            Key::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }

    fn verifies(key: &Key, algorithm: Algorithm, message: &str, signature: &[u8]) -> bool {
        let verification: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
            Algorithm::EdDsa => &ED25519,
        };
        UnparsedPublicKey::new(verification, public_key(key)).verify(message.as_bytes(), signature).is_ok()
    }

    /// Keys, texts and signatures of RFC 7515 and RFC 8037.
    #[test]
    fn the_examples_of_the_rfcs_are_signed_as_in_the_rfcs() {
        let examples: Value = serde_json::from_str(include_str!("../../../tests/vectors/jws.json")).unwrap();
        let mut checked = 0;
        for example in examples.as_array().unwrap() {
            let text = |name: &str| example[name].as_str().unwrap();
            let (algorithm, is_random) = match text("algorithm") {
                "RS256" => (Algorithm::Rs256, false),
                "ES256" => (Algorithm::Es256, true),
                "EdDSA" => (Algorithm::EdDsa, false),
                other => panic!("{other}"),
            };
            let key = Key::from_pem(algorithm, text("key").as_bytes()).unwrap();
            let expected = URL_SAFE_NO_PAD.decode(text("signature")).unwrap();
            let signature = key.sign(text("input").as_bytes()).unwrap();
            assert!(verifies(&key, algorithm, text("input"), &expected), "{}", text("source"));
            assert!(verifies(&key, algorithm, text("input"), &signature), "{}", text("source"));
            assert_eq!(*signature == expected, !is_random, "{}", text("source"));
            checked += 1;
        }
        assert_eq!(checked, 3);
    }

    /// RFC 7518, sections 3.3 to 3.5: R and S of a fixed length, and a modulus' length for RSA.
    #[test]
    fn a_signature_has_the_length_that_rfc_7518_says() {
        let keys: Value = serde_json::from_str(include_str!("../../../tests/vectors/keys.json")).unwrap();
        for (name, algorithm, length) in [
            ("rsa2048", Algorithm::Rs256, 256),
            ("rsa2048_pkcs1", Algorithm::Ps256, 256),
            ("rsa4096", Algorithm::Ps256, 512),
            ("p256", Algorithm::Es256, 64),
            ("p384", Algorithm::Es384, 96),
            ("ed25519", Algorithm::EdDsa, 64),
        ] {
            let key = Key::from_pem(algorithm, keys[name].as_str().unwrap().as_bytes()).unwrap();
            for number in 0..20 {
                let signature = key.sign(format!("message {number}").as_bytes()).unwrap();
                assert_eq!(signature.len(), length, "{name}");
                assert!(verifies(&key, algorithm, &format!("message {number}"), &signature), "{name}");
            }
            assert_eq!(key.is_slow(), name == "rsa4096");
        }
    }
}

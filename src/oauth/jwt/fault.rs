//! What is wrong with a key, and the command that helps.

use super::{
    algorithm::Algorithm,
    der::{Curve, Kind},
};
use crate::error::AuthError;

/// Why a key of this kind cannot be used with the algorithm, if that is known.
pub(super) fn of(algorithm: Algorithm, kind: Kind) -> Option<AuthError> {
    let is_rsa = matches!(algorithm, Algorithm::Ps256 | Algorithm::Rs256);
    Some(match kind {
        Kind::Rsa { bits } if bits < MIN_BITS => fault(&format!("the RSA key has {bits} bits, too few; {NEW_RSA}")),
        Kind::Rsa { bits } if bits > MAX_BITS => fault(&format!("the RSA key has {bits} bits, too many; {NEW_RSA}")),
        Kind::Rsa { .. } if is_rsa => return None,
        Kind::RsaPss => fault(
            "the RSA key is marked for RSASSA-PSS; remove the mark: openssl rsa -in key.pem -traditional -out rsa.pem",
        ),
        Kind::Ec { curve: Curve::P521, .. } => fault(&format!("the key is on the curve P-521; {NEW_EC}")),
        Kind::Ec { curve: Curve::Other, .. } => {
            fault(&format!("the key is on a curve that is neither P-256 nor P-384, or not named; {NEW_EC}"))
        }
        Kind::Ec { curve: Curve::P256, .. } if algorithm != Algorithm::Es256 => another(algorithm, "Es256"),
        Kind::Ec { curve: Curve::P384, .. } if algorithm != Algorithm::Es384 => another(algorithm, "Es384"),
        Kind::Ec { has_public_key: false, .. } => fault(
            "the EC key lacks its public key; add it: openssl ec -in key.pem | openssl pkcs8 -topk8 -nocrypt -out pkcs8.pem",
        ),
        Kind::Ec { .. } => return None,
        Kind::Ed25519 if algorithm == Algorithm::EdDsa => return None,
        Kind::Rsa { .. } => another(algorithm, "Ps256 or Rs256"),
        Kind::Ed25519 => another(algorithm, "EdDsa"),
        Kind::Other => fault(&format!("the key is of a kind that cannot be used; {NEW_EC}")),
        Kind::Unreadable => damaged(),
    })
}

fn another(algorithm: Algorithm, fitting: &str) -> AuthError {
    fault(&format!("the key cannot be used with {algorithm:?}, but with {fitting}; change the algorithm or the key"))
}

pub(super) fn damaged() -> AuthError {
    fault(
        "the private key is damaged, or of a kind that cannot be used; check it: openssl pkey -in key.pem -check -noout",
    )
}

/// RFC 5915.
pub(super) fn sec1() -> AuthError {
    fault("the EC key is in the form of SEC 1; convert it: openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem")
}

pub(super) fn encrypted() -> AuthError {
    fault("the private key is encrypted; decrypt it: openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem")
}

pub(super) fn openssh() -> AuthError {
    fault("the private key is in the form of OpenSSH; convert it: ssh-keygen -p -N '' -m PKCS8 -f key")
}

/// `found` is the label of a section that is no private key.
pub(super) fn no_key(found: Option<&str>) -> AuthError {
    match found {
        Some("CERTIFICATE") => fault("the text has a certificate and no private key; pass the text of the key"),
        Some("PUBLIC KEY" | "RSA PUBLIC KEY") => {
            fault("the text has a public key; pass the private key that belongs to it")
        }
        _ => {
            fault("no private key in the text; pass PEM text with \"-----BEGIN PRIVATE KEY-----\", not a path, not DER")
        }
    }
}

pub(super) fn no_certificate() -> AuthError {
    fault("no certificate in the text; pass PEM text with \"-----BEGIN CERTIFICATE-----\", not a path, not DER")
}

pub(super) fn broken(why: &str) -> AuthError {
    fault(&format!("the PEM text is broken: {why}"))
}

fn fault(why: &str) -> AuthError {
    AuthError::config(format!("PrivateKeyJwt: {why}"))
}

const NEW_RSA: &str =
    "create one of 2048 to 4096 bits: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out key.pem";
const NEW_EC: &str = "create another: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem";
const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 4096;

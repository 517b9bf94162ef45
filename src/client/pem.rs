//! Certificates and keys out of PEM text (RFC 7468), with an error for each thing that people get wrong.
//!
//! What the parser says of a text may quote it, a key included, so nobody hears of that.

use rustls::{
    Error as TlsError, RootCertStore,
    crypto::ring::sign::any_supported_type,
    pki_types::{
        CertificateDer, PrivateKeyDer, TrustAnchor,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use crate::error::AuthError;

/// The certification authorities in a text: at least one.
pub(super) fn roots(text: &[u8]) -> Result<Vec<TrustAnchor<'static>>, AuthError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ROOTS, text)? {
        roots.add(certificate).map_err(|error| unreadable(ROOTS, error))?;
    }
    Ok(roots.roots)
}

/// A certificate, those that lead to its authority, and its key.
pub(super) fn identity(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, AuthError> {
    let chain = certificates(IDENTITY, chain)?;
    for certificate in &chain {
        ParsedCertificate::try_from(certificate).map_err(|error| unreadable(IDENTITY, error))?;
    }
    let key = private_key(key)?;
    let key = any_supported_type(&key).map_err(|_| {
        AuthError::config(
            "identity(): the private key cannot be used: RSA from 2048 bits, ECDSA on P-256 or P-384, or Ed25519",
        )
    })?;
    let identity = CertifiedKey::new(chain, key);
    identity.keys_match().map_err(|_| {
        AuthError::config(
            "identity(): the private key is not that of the certificate; the client's own comes first in the text, and then \
             those that lead to its authority",
        )
    })?;
    Ok(identity)
}

fn certificates(place: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, AuthError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let certificates = certificates.map_err(|error| broken(place, &error))?;
    if certificates.is_empty() {
        return Err(AuthError::config(format!(
            "{place}: no certificate in the text, which must be PEM with \"-----BEGIN CERTIFICATE-----\" (not a path, not DER)"
        )));
    }
    Ok(certificates)
}

fn private_key(text: &[u8]) -> Result<Zeroizing<PrivateKeyDer<'static>>, AuthError> {
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(_) if text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) => {
            Err(AuthError::config("identity(): the private key is encrypted: decrypt it first (openssl pkey)"))
        }
        Err(pem::Error::NoItemsFound) => Err(AuthError::config(
            "identity(): no private key in the text, which must be PEM with \"-----BEGIN PRIVATE KEY-----\" (not a path, not DER)",
        )),
        Err(error) => Err(broken(IDENTITY, &error)),
    }
}

fn broken(place: &str, error: &pem::Error) -> AuthError {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end; is it cut off, or are its line ends lost?",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line does not end with its dashes; are the line ends lost?",
        _ => "a section is not base64",
    };
    AuthError::config(format!("{place}: the PEM text is broken: {why}"))
}

fn unreadable(place: &str, error: TlsError) -> AuthError {
    AuthError::config(format!("{place}: a certificate cannot be read")).with_source(error)
}

const ROOTS: &str = "root_certificates()";
const IDENTITY: &str = "identity()";
/// In the first line of PKCS #8, in the second of OpenSSL's older form.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

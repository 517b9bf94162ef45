//! TLS to a server, by rustls with ring.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::error::AuthError;

/// With these roots, or Mozilla's.
pub(super) fn config(roots: Option<RootCertStore>) -> Result<Arc<ClientConfig>, AuthError> {
    let roots = roots.unwrap_or_else(|| RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| AuthError::config("setting up TLS failed").with_source(error))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The certificates in a text: at least one.
pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, AuthError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        // The parser's own error may quote the text.
        let certificate = certificate.map_err(|_| {
            AuthError::config("`root_certificates`: the PEM text is damaged; pass the whole file as it was issued")
        })?;
        roots.add(certificate).map_err(|error| {
            AuthError::config("`root_certificates`: a certificate cannot be read").with_source(error)
        })?;
    }
    if roots.is_empty() {
        return Err(AuthError::config(
            "`root_certificates`: no certificate in the text; pass PEM text with \"-----BEGIN CERTIFICATE-----\", not a path",
        ));
    }
    Ok(roots)
}

//! The system's certificate store.

use rustls::RootCertStore;

use crate::error::AuthError;

/// Adds the certification authorities that the system trusts: at least one.
pub(super) fn add_to(roots: &mut RootCertStore) -> Result<(), AuthError> {
    let store = rustls_native_certs::load_native_certs();
    let (added, _unreadable) = roots.add_parsable_certificates(store.certs);
    if added > 0 {
        return Ok(());
    }
    let error = AuthError::config(
        "`native_roots`: the system's certificate store holds no certificate that can be used; install one (the package \
         ca-certificates on Linux), or set SSL_CERT_FILE",
    );
    Err(match store.errors.into_iter().next() {
        Some(cause) => error.with_source(cause),
        None => error,
    })
}

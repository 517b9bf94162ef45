//! What an error of the transport means, and what to do about it.

use std::{borrow::Cow, error::Error, io, iter};

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::client::NoTunnel;

/// One line for an error that came instead of an answer.
pub(super) fn what_happened(error: &(dyn Error + 'static)) -> Cow<'static, str> {
    // The proxy may speak TLS too, and then its trouble is inside of this.
    if let Some(no_tunnel) = causes(error).find_map(|cause| cause.downcast_ref::<NoTunnel>()) {
        return format!("the authorization server cannot be reached: {no_tunnel}").into();
    }
    let advice = causes(error).find_map(|cause| match cause.downcast_ref() {
        // With an authority of the right name and the wrong key it is the signature.
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => Some(
            "the authorization server's certificate is from an authority that is not trusted: if it should be, name it in \
             client::HttpsClient's root_certificates()",
        ),
        _ => of_our_certificate(&cause.to_string()),
    });
    advice.unwrap_or("the authorization server cannot be reached").into()
}

/// What the server says of the client's certificate comes after the handshake, as an alert; HTTP/2 keeps its text alone.
fn of_our_certificate(told: &str) -> Option<&'static str> {
    let is = |alert: &AlertDescription| told == TlsError::AlertReceived(*alert).to_string();
    if is(&AlertDescription::CertificateRequired) {
        return Some(
            "the authorization server wants a client certificate: give one to client::HttpsClient's identity()",
        );
    }
    REFUSALS.iter().any(is).then_some("the authorization server does not accept the client certificate")
}

/// An error and what is behind it. An I/O error names as its source what is behind the error that it holds.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |error: &'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        }
    };
    iter::successors(Some(error), move |error| next(*error))
}

/// RFC 8446, section 6.2.
const REFUSALS: [AlertDescription; 8] = [
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
    // The authority has the right name and the wrong key.
    AlertDescription::DecryptError,
];

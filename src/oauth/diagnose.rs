//! Why a connection failed, and what to do about it, for errors of an [`HttpsClient`](crate::client::HttpsClient).

use std::{borrow::Cow, error::Error, io, iter};

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::client::ProxyConnectError;

/// How far the exchange came, as far as that is known, and why not further.
pub(super) struct Diagnosis {
    /// Whether the server was there and something came back, so that it is not said to be out of reach.
    pub(super) is_reached: bool,
    pub(super) reason: Option<Cow<'static, str>>,
}

impl Diagnosis {
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let reason = of_connection(error);
        if reason.is_some() {
            return Self { is_reached: false, reason };
        }
        if causes(error).any(|cause| matches!(cause.downcast_ref(), Some(TlsError::InvalidMessage(_)))) {
            return Self { is_reached: true, reason: Some(NO_TLS.into()) };
        }
        // hyper's errors come after the connection is made.
        match causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>()) {
            Some(error) => Self { is_reached: true, reason: of_answer(error).map(Cow::Borrowed) },
            None => Self { is_reached: false, reason: None },
        }
    }
}

fn of_answer(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse() {
        return Some(NO_HTTP);
    }
    let is_end =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
    if error.is_incomplete_message() || causes(error).any(|cause| cause.downcast_ref().is_some_and(is_end)) {
        return Some("it closed the connection before its answer was complete");
    }
    causes(error)
        .any(|cause| cause.to_string().ends_with(HTTP_1_1_REQUIRED))
        .then_some("it answers over HTTP/1.1 only; set `http1_only` of `HttpsClientBuilder`")
}

/// Why there is no connection, or why it was given up during the TLS handshake.
fn of_connection(error: &(dyn Error + 'static)) -> Option<Cow<'static, str>> {
    if let Some(failed) = causes(error).find_map(|cause| cause.downcast_ref::<ProxyConnectError>()) {
        let wants_credentials = causes(error).any(|cause| cause.to_string().ends_with(PROXY_AUTH_REQUIRED));
        let advice = if wants_credentials { ", which asks for credentials: set `proxy_credentials`" } else { "" };
        return Some(format!("{failed}{advice}").into());
    }
    let reason = |cause: &(dyn Error + 'static)| match cause.downcast_ref() {
        Some(TlsError::InvalidCertificate(error)) => of_server_certificate(error),
        _ => of_client_certificate(&cause.to_string()),
    };
    causes(error).find_map(reason).map(Cow::Borrowed)
}

fn of_server_certificate(error: &CertificateError) -> Option<&'static str> {
    match error {
        // A bad signature is what an authority of the right name and the wrong key comes to.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Some(
            "its certificate is from an authority that is not trusted; if it should be, add it with `root_certificates` of \
             `HttpsClientBuilder`",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some("its certificate is for another name; check the host of the token URL")
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            Some("its certificate has expired or is not valid yet; check it, and the clock of this machine")
        }
        _ => None,
    }
}

/// What the server says of the client's certificate comes after the handshake, as an alert. HTTP/2 passes on its text
/// only.
fn of_client_certificate(text: &str) -> Option<&'static str> {
    let is = |alert: &AlertDescription| text == TlsError::AlertReceived(*alert).to_string();
    if is(&AlertDescription::CertificateRequired) {
        return Some("it asks for a client certificate; set `identity` of `HttpsClientBuilder`");
    }
    REFUSALS
        .iter()
        .any(is)
        .then_some("it does not accept the client certificate; check `identity` of `HttpsClientBuilder`")
}

/// An error and its sources. An I/O error skips the error that it wraps, so look inside.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |error: &'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        }
    };
    iter::successors(Some(error), move |error| next(*error))
}

const NO_TLS: &str = "its answer is not TLS; check scheme and port of the token URL";
const NO_HTTP: &str = "its answer is not HTTP; check scheme and port of the token URL";

/// The end of the text of h2's error, whose type is not public in hyper (RFC 9113, section 7).
const HTTP_1_1_REQUIRED: &str = "endpoint requires HTTP/1.1";

/// The end of the text of hyper-util's error, whose type is not public.
const PROXY_AUTH_REQUIRED: &str = "proxy authorization required";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_servers_certificate_is_told_wherever_it_stands_among_the_causes() {
        for (error, told) in [
            (CertificateError::UnknownIssuer, Some("add it with `root_certificates`")),
            (CertificateError::NotValidForName, Some("is for another name")),
            (CertificateError::Expired, Some("has expired or is not valid yet")),
            (CertificateError::NotValidYet, Some("has expired or is not valid yet")),
            (CertificateError::Revoked, None),
        ] {
            let inner = io::Error::new(io::ErrorKind::InvalidData, TlsError::InvalidCertificate(error));
            let reason = Diagnosis::of(&io::Error::other(io::Error::other(inner))).reason;
            assert_eq!(reason.is_some(), told.is_some(), "{reason:?}");
            assert!(told.is_none_or(|told| reason.unwrap().contains(told)), "{told:?}");
        }
    }
}

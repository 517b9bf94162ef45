//! How a client authenticates to the token endpoint (RFC 6749, section 2.3).

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use secrecy::ExposeSecret;

use crate::{
    credentials::{Credentials, Secret},
    error::AuthError,
};

/// Client authentication method at the token endpoint (RFC 6749, section 2.3).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// Id and secret in the body: `client_secret_post`.
    ///
    /// The default, because almost every server accepts it. Where a refusal asks for `Basic`, its error says so.
    #[default]
    Body,
    /// `Authorization: Basic` with id and secret form-encoded first.
    ///
    /// This is `client_secret_basic` as the RFC specifies it. Some servers do not decode id and secret. Where that
    /// matters, the error of a refusal [names the other methods](crate::guide::providers). For a server that wants the
    /// id in the body as well, add it with [`param`](super::ClientCredentialsGrantBuilder::param).
    Basic,
    /// `Authorization: Basic` with id and secret as they are.
    ///
    /// For servers that do not decode id and secret. A client id with a colon cannot be sent in this way.
    BasicUnencoded,
    /// The client's certificate and no secret (RFC 8705, section 2).
    ///
    /// That is `tls_client_auth` and `self_signed_tls_client_auth`. The id is sent, so [`Credentials::without_secret`]
    /// is enough. The certificate belongs to the transport: see
    /// [`HttpsClientBuilder::identity`](crate::client::HttpsClientBuilder::identity).
    Certificate,
}

impl ClientAuth {
    pub(super) fn sends_secret(self) -> bool {
        self != Self::Certificate
    }

    /// Whether id and secret are in the header `Authorization`.
    pub(super) fn is_basic(self) -> bool {
        matches!(self, Self::Basic | Self::BasicUnencoded)
    }

    /// Refuses credentials that this method cannot send.
    pub(super) fn check(self, credentials: &Credentials, secret: &Secret) -> Result<(), AuthError> {
        credentials.check_id()?;
        if self == Self::BasicUnencoded && credentials.client_id().contains(':') {
            return Err(AuthError::config(
                "`client_auth`: BasicUnencoded cannot send a client id with a colon; use Basic or Body",
            ));
        }
        if self == Self::Certificate {
            return Ok(());
        }
        if secret.expose_secret().is_empty() {
            return Err(AuthError::config(format!(
                "the client secret is empty, and `client_auth` with ClientAuth::{self:?} sends it; use credentials with a \
                 secret, or ClientAuth::Certificate"
            )));
        }
        secret.check()
    }
}

/// Whether a refusal asks for `Basic` (RFC 6749, section 5.2).
pub(super) fn asks_for_basic(headers: &HeaderMap) -> bool {
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|header| header.to_str().ok());
    let mut challenges = challenges.filter_map(|header| http_auth::parse_challenges(header).ok()).flatten();
    challenges.any(|challenge| challenge.scheme.eq_ignore_ascii_case("Basic"))
}

//! Assertions that are signed with a private key: `private_key_jwt` (OpenID Connect Core 1.0, section 9; RFC 7523).

mod algorithm;
mod der;
mod fault;
mod jws;
mod key;
mod pem;
#[cfg(feature = "sandbox")]
mod verify;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use tokio::runtime::Handle;

pub use self::algorithm::Algorithm;
#[cfg(feature = "sandbox")]
pub(crate) use self::verify::PublicKey;
use self::{
    jws::{Claims, Header},
    key::Key,
};
use super::assertion::{Assertion, AssertionRequest, AssertionSource};
use crate::error::{AuthError, ErrorKind};

/// [`AssertionSource`] that signs with the client's private key.
///
/// Its method is known as `private_key_jwt`.
///
/// Each assertion is a JWT (RFC 7523, section 3) in the compact form of JWS, with these claims:
///
/// | claim | value |
/// |---|---|
/// | `iss`, `sub` | the client id |
/// | `aud` | what [`Audience`] says, as one string |
/// | `jti` | 128 random bits |
/// | `iat` | now, by the authorization server's clock as far as it is known |
/// | `exp` | `iat` and the [lifetime](Self::lifetime) |
///
/// The header has `alg` and `typ`, and `kid` and `x5t#S256` where they are set.
///
/// # Keys
///
/// | algorithm | key | PEM |
/// |---|---|---|
/// | [`Ps256`](Algorithm::Ps256), [`Rs256`](Algorithm::Rs256) | RSA of 2048 to 4096 bits | PKCS #8 or PKCS #1 |
/// | [`Es256`](Algorithm::Es256) | P-256 | PKCS #8 with the public key, as OpenSSL writes it |
/// | [`Es384`](Algorithm::Es384) | P-384 | the same |
/// | [`EdDsa`](Algorithm::EdDsa) | Ed25519 | PKCS #8, with or without the public key |
///
/// For any other key the error says which `openssl` command converts it, or creates a new one.
///
/// # Example
///
/// ```no_run
/// use tower_outbound_auth::{
///     BoxError, Credentials,
///     oauth::{Algorithm, Audience, ClientCredentialsGrant, PrivateKeyJwt},
/// };
///
/// # fn grant() -> Result<(), BoxError> {
/// let pem = std::fs::read("/run/secrets/client-key.pem")?;
/// let key = PrivateKeyJwt::from_pem(Algorithm::Ps256, Audience::Issuer, pem)?.key_id("2026-11");
/// let grant = ClientCredentialsGrant::discover("https://login.bank.example", Credentials::without_secret("my-client"))
///     .client_assertion(key)
///     .build()?;
/// # Ok(()) }
/// ```
///
/// # Cost
///
/// A signature takes 0.04 ms with P-256, 0.1 ms with Ed25519, 0.6 ms with RSA of 2048 bits, 0.9 ms with P-384, and 4 ms with
/// RSA of 4096 bits. RSA keys of more than 2048 bits therefore sign on a thread for blocking work. There is one signature for
/// each token request.
///
/// # Errors
///
/// Making an assertion fails with [`Config`](crate::ErrorKind::Config) if the audience is [`Issuer`](Audience::Issuer) and the
/// grant does not know its issuer, and with [`Signing`](crate::ErrorKind::Signing) if the system has no random numbers.
///
/// # Memory
///
/// The PEM text is decoded into memory that is wiped, and so is each assertion. The key itself lives in ring, which does not
/// wipe it.
#[derive(Clone)]
pub struct PrivateKeyJwt {
    key: Arc<Key>,
    algorithm: Algorithm,
    audience: Audience,
    key_id: Option<String>,
    thumbprint: Option<String>,
    lifetime: Duration,
    token_type: String,
}

/// The `aud` of an assertion: whom it is for.
///
/// Servers disagree, and refuse any other (`invalid_client`), so there is no default:
///
/// | server | setting |
/// |---|---|
/// | Microsoft Entra, Okta | `TokenEndpoint` |
/// | Auth0 | `Issuer`, or `Custom("https://TENANT.auth0.com/")`, with the final slash |
/// | FAPI 2.0, Keycloak, Ping | `Issuer` |
/// | a server whose documentation names another text | `Custom` |
///
/// The successor of RFC 7523 requires the issuer alone, since a token endpoint can be a lure of another server. If your
/// server accepts both, use `Issuer`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The URL of the token endpoint, as it was set or discovered.
    TokenEndpoint,
    /// The issuer identifier. Needs [`discover`](crate::oauth::ClientCredentialsGrant::discover).
    Issuer,
    /// This text.
    Custom(String),
}

impl PrivateKeyJwt {
    /// Reads a private key in PEM text.
    ///
    /// The text is that of the key, not a path. Other sections in it, such as certificates, are skipped.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if there is no private key in the text, or if it cannot be used with this
    /// algorithm. The message says what to do, and repeats nothing of the text.
    pub fn from_pem(algorithm: Algorithm, audience: Audience, pem: impl AsRef<[u8]>) -> Result<Self, AuthError> {
        Ok(Self {
            key: Arc::new(Key::from_pem(algorithm, pem.as_ref())?),
            algorithm,
            audience,
            key_id: None,
            thumbprint: None,
            lifetime: Duration::from_secs(60),
            token_type: "JWT".to_owned(),
        })
    }

    /// Sets `kid`, the name under which the server knows the key. Default: not sent.
    ///
    /// Needed if the server knows several keys of this client, as during the change from one to the next.
    pub fn key_id(mut self, kid: impl Into<String>) -> Self {
        self.key_id = Some(kid.into());
        self
    }

    /// Sets `x5t#S256`, the SHA-256 thumbprint of a certificate in PEM text.
    ///
    /// For servers that know the key by a certificate, such as Microsoft Entra. The first certificate in the text
    /// counts. Default: not sent.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the text has no certificate.
    pub fn certificate_thumbprint(mut self, certificate_pem: impl AsRef<[u8]>) -> Result<Self, AuthError> {
        let certificate = pem::certificate(certificate_pem.as_ref())?;
        self.thumbprint = Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)));
        Ok(self)
    }

    /// Sets how long an assertion is valid, in whole seconds.
    ///
    /// Default: 60 s, which allows for a clock that is wrong by as much. Less than 1 s counts as 1 s, more than a day
    /// as a day. Raise it if the server's clock and yours differ by more. A server may refuse an assertion that is
    /// valid for long.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets the `typ` of the header.
    ///
    /// Default: `JWT`. The successor of RFC 7523 wants `client-authentication+jwt`.
    pub fn token_type(mut self, typ: impl Into<String>) -> Self {
        self.token_type = typ.into();
        self
    }

    fn audience<'a>(&'a self, request: &AssertionRequest<'a>) -> Result<&'a str, AuthError> {
        match &self.audience {
            Audience::TokenEndpoint => Ok(request.token_endpoint()),
            Audience::Custom(audience) => Ok(audience),
            Audience::Issuer => request.issuer().ok_or_else(|| {
                AuthError::config(
                    "Audience::Issuer: the issuer is not known; use `ClientCredentialsGrant::discover`, or name it with \
                     Audience::Custom",
                )
            }),
        }
    }

    async fn sign(&self, request: AssertionRequest<'_>) -> Result<Assertion, AuthError> {
        if request.client_id().is_empty() {
            return Err(AuthError::config("PrivateKeyJwt: the client id is empty, and the assertion is about it"));
        }
        let header = Header {
            alg: self.algorithm.name(),
            typ: &self.token_type,
            kid: self.key_id.as_deref(),
            thumbprint: self.thumbprint.as_deref(),
        };
        let claims = Claims::new(request.client_id(), self.audience(&request)?, request.now(), self.lifetime)?;
        let input = jws::signing_input(&header, &claims)?;
        match Handle::try_current() {
            // Others wait for this thread.
            Ok(runtime) if self.key.is_slow() => {
                let key = Arc::clone(&self.key);
                let signing = runtime.spawn_blocking(move || jws::sign(&key, &input)).await;
                signing.unwrap_or_else(|_| Err(AuthError::new(ErrorKind::Aborted, "the runtime ended; try again")))
            }
            _ => jws::sign(&self.key, &input),
        }
        .map(Assertion::jwt)
    }
}

impl AssertionSource for PrivateKeyJwt {
    fn assertion<'a>(
        &'a self,
        request: AssertionRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Assertion, AuthError>> + Send + 'a>> {
        Box::pin(self.sign(request))
    }
}

impl fmt::Debug for PrivateKeyJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKeyJwt")
            .field("algorithm", &self.algorithm)
            .field("audience", &self.audience)
            .field("key_id", &self.key_id)
            .field("certificate_thumbprint", &self.thumbprint)
            .field("lifetime", &self.lifetime)
            .field("token_type", &self.token_type)
            .finish_non_exhaustive()
    }
}

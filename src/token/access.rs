//! An access token: secret bytes, built into a header once, wiped when the last user lets go of them.

use std::{
    collections::BTreeMap,
    fmt, str,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, header::InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    credentials::{Credentials, ObtainedWith, Secret},
    error::{AuthError, ErrorKind},
    server_clocks::OriginKey,
    time::Moment,
    token::policy::bounded,
};

/// An access token and its lifetime.
///
/// Clones share the secret, which is wiped from memory when the last of them is dropped, together with the header values
/// made from it. `Debug` shows no part of it.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::token::AccessToken;
///
/// let token = AccessToken::new("eyJhbGciOi", Some(Duration::from_secs(3600)))?;
/// assert!(token.expires_in() <= Some(Duration::from_secs(3600)));
/// assert!(!format!("{token:?}").contains("eyJ"));
/// # Ok::<(), tower_outbound_auth::AuthError>(())
/// ```
#[derive(Clone)]
pub struct AccessToken {
    /// `Bearer <token>`, marked sensitive, in memory that is wiped.
    header: HeaderValue,
    scope: Option<Arc<str>>,
    response_fields: Option<Arc<BTreeMap<String, Zeroizing<String>>>>,
    lifetime: Option<Duration>,
    /// When its lifetime began.
    created: Moment,
    server_date: Option<(OriginKey, SystemTime)>,
    obtained_with: Option<Arc<ObtainedWith>>,
    /// The source's generation that it belongs to, where the source found that out during the fetch.
    generation: Option<u64>,
}

impl AccessToken {
    /// Creates a token whose lifetime begins now.
    ///
    /// `lifetime` is what the server stated; `None` if it stated none, and a layer then assumes
    /// [`RefreshPolicy::default_lifetime`](crate::token::RefreshPolicy::default_lifetime). More than ten years counts as ten
    /// years.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) if the token is empty, longer than 16 KiB (servers refuse far shorter headers),
    /// or not a valid header value (a line end, another control character).
    pub fn new(secret: impl Into<SecretString>, lifetime: Option<Duration>) -> Result<Self, AuthError> {
        let secret = secret.into();
        let secret = secret.expose_secret();
        let malformed = |why| Err(AuthError::new(ErrorKind::Malformed, why));
        if secret.is_empty() {
            return malformed("the access token is empty");
        }
        if secret.len() > MAX_LEN {
            return malformed("the access token is longer than 16 KiB, more than servers take in a header");
        }
        let Ok(header) = header(SCHEME, secret) else {
            return malformed("the access token has characters that no header may have");
        };
        let created = Moment::now();
        Ok(Self {
            header,
            scope: None,
            response_fields: None,
            lifetime: lifetime.map(bounded),
            created,
            server_date: None,
            obtained_with: None,
            generation: None,
        })
    }

    /// Adds the scope that the server granted (RFC 6749, section 5.1).
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(Arc::from(scope.into()));
        self
    }

    /// Adds another member of the token response.
    ///
    /// A second value for the same name replaces the first. The value is wiped like the token, and `Debug` shows
    /// neither name nor value.
    pub fn with_response_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let fields = self.response_fields.get_or_insert_default();
        Arc::make_mut(fields).insert(name.into(), Zeroizing::new(value.into()));
        self
    }

    /// Returns the token itself, for a signer or another protocol. Keep it out of logs.
    pub fn expose_secret(&self) -> &str {
        str::from_utf8(self.header.as_bytes()).ok().and_then(|text| text.get(SCHEME.len()..)).unwrap_or_default()
    }

    /// Returns the rest of its lifetime; `None` if the server stated none.
    ///
    /// Measured by tokio's clock or by the wall clock, whichever shows that more time has passed.
    pub fn expires_in(&self) -> Option<Duration> {
        self.lifetime.map(|lifetime| lifetime.saturating_sub(Moment::now().since(self.created)))
    }

    /// Returns the scope that the server granted, if it named one.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Returns another member of the token response, as text.
    ///
    /// A string or a number, such as Salesforce's `instance_url`. The standard members are not returned here:
    /// `access_token`, `token_type`, `expires_in`, `scope`, `refresh_token` and `id_token`.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::token::AccessToken;
    ///
    /// let token = AccessToken::new("eyJhbGciOi", None)?.with_response_field("instance_url", "https://eu7.example.com");
    /// assert_eq!(token.response_field("instance_url"), Some("https://eu7.example.com"));
    /// assert_eq!(token.response_field("signature"), None);
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn response_field(&self, name: &str) -> Option<&str> {
        self.response_fields.as_ref()?.get(name).map(|value| value.as_str())
    }

    /// All other members of the token response.
    pub(crate) fn response_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.response_fields
            .iter()
            .flat_map(|fields| fields.iter())
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `Bearer <token>`, or the token after another scheme.
    pub(crate) fn header(&self, scheme: Option<&str>) -> HeaderValue {
        match scheme {
            None => self.header.clone(),
            // The scheme was checked when the layer was built, and the token before.
            Some(scheme) => header(scheme, self.expose_secret()).unwrap_or_else(|_| self.header.clone()),
        }
    }

    /// Whether the two are the same text.
    pub(crate) fn has_value_of(&self, other: &Self) -> bool {
        self.header == other.header
    }

    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    pub(crate) fn created(&self) -> Moment {
        self.created
    }

    /// The time that the authorization server's response named, and whose time it is.
    pub(crate) fn server_date(&self) -> Option<(OriginKey, SystemTime)> {
        self.server_date
    }

    pub(crate) fn with_server_date(mut self, date: Option<(OriginKey, SystemTime)>) -> Self {
        self.server_date = date;
        self
    }

    /// The same token, marked as obtained with this secret of these credentials.
    pub(crate) fn obtained_with(mut self, credentials: &Credentials, secret: Arc<Secret>) -> Self {
        self.obtained_with = Some(Arc::new(credentials.keep(secret)));
        self
    }

    /// The rotation of the secret that obtained this token, if it is a secret of these credentials.
    pub(crate) fn rotation_of(&self, credentials: &Credentials) -> Option<u64> {
        self.obtained_with.as_ref()?.rotation_of(credentials)
    }

    pub(crate) fn generation(&self) -> Option<u64> {
        self.generation
    }

    pub(crate) fn of_generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// The same token, its lifetime counted from an earlier moment.
    pub(crate) fn created_at(mut self, created: Moment) -> Self {
        self.created = created;
        self
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires_in", &self.expires_in()).finish_non_exhaustive()
    }
}

/// Text that is wiped when it is dropped.
struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// `scheme` ends with the blank that follows it, if it has one.
fn header(scheme: &str, secret: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut text = Zeroizing::new(String::with_capacity(scheme.len() + secret.len()));
    text.push_str(scheme);
    text.push_str(secret);
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Wiped(text)))?;
    value.set_sensitive(true);
    Ok(value)
}

const SCHEME: &str = "Bearer ";
const MAX_LEN: usize = 16 * 1024;

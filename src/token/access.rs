//! An access token: secret bytes, built into a header once, wiped when the last user lets go of them.

use std::{
    collections::BTreeMap,
    fmt, str,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use crossbeam_utils::CachePadded;
use http::{HeaderValue, header::InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    clock::{Moment, Timepiece},
    error::{AuthError, ErrorKind},
    lanes::Lanes,
};

/// An access token, and how long it lives.
///
/// Clones share the bytes, which are wiped from memory when the last of them is dropped, the header values that were made
/// from it included. `Debug` shows no part of them.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::AccessToken;
///
/// let token = AccessToken::new("eyJhbGciOi", Some(Duration::from_secs(3600)))?;
/// assert_eq!(token.expires_in(), Some(Duration::from_secs(3600)));
/// assert!(!format!("{token:?}").contains("eyJ"));
/// # Ok::<(), tower_outbound_auth::AuthError>(())
/// ```
#[derive(Clone)]
pub struct AccessToken {
    /// `Bearer <token>`, marked sensitive, in memory that is wiped.
    header: HeaderValue,
    scope: Option<Arc<str>>,
    response_fields: Option<Arc<BTreeMap<String, Zeroizing<String>>>>,
    life: Life,
    server_date: Option<SystemTime>,
}

#[derive(Clone)]
enum Life {
    /// As the server gave it: from the token's creation.
    Given(Option<Duration>),
    /// On the clock of the layer that holds it.
    Held { clock: Arc<Timepiece>, end: Option<Moment> },
}

impl AccessToken {
    /// A token as an authorization server gave it.
    ///
    /// The lifetime counts from now; `None` says that the server set none, and a layer then assumes
    /// [`RefreshPolicy::default_lifetime`](crate::RefreshPolicy::default_lifetime).
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) if the token is empty, longer than 16 KiB (servers refuse headers far
    /// shorter), or no header value: a line end, another control character.
    pub fn new(secret: impl Into<SecretString>, lifetime: Option<Duration>) -> Result<Self, AuthError> {
        let secret = secret.into();
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Err(AuthError::new(ErrorKind::Malformed, "the access token is empty"));
        }
        if secret.len() > LONGEST {
            return Err(AuthError::new(ErrorKind::Malformed, "the access token is longer than 16 KiB"));
        }
        let mut text = Zeroizing::new(String::with_capacity(SCHEME.len() + secret.len()));
        text.push_str(SCHEME);
        text.push_str(secret);
        let header = sensitive(text)
            .map_err(|_| AuthError::new(ErrorKind::Malformed, "the access token cannot be sent in a header"))?;
        Ok(Self { header, scope: None, response_fields: None, life: Life::Given(lifetime), server_date: None })
    }

    /// Adds the scope that the server granted (RFC 6749, section 5.1).
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(Arc::from(scope.into()));
        self
    }

    /// Adds another member of the token response. A second value for the same name replaces the first.
    ///
    /// The value is wiped like the token, and `Debug` shows neither name nor value.
    pub fn with_response_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let fields = self.response_fields.get_or_insert_default();
        Arc::make_mut(fields).insert(name.into(), Zeroizing::new(value.into()));
        self
    }

    /// Returns another member of the token response, such as Salesforce's `instance_url`: a string, or a number as text.
    ///
    /// Not among them are those that every server may send: `access_token`, `token_type`, `expires_in`, `scope`,
    /// `refresh_token` and `id_token`.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::AccessToken;
    ///
    /// let token = AccessToken::new("eyJhbGciOi", None)?.with_response_field("instance_url", "https://eu7.example.com");
    /// assert_eq!(token.response_field("instance_url"), Some("https://eu7.example.com"));
    /// assert_eq!(token.response_field("signature"), None);
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn response_field(&self, name: &str) -> Option<&str> {
        self.response_fields.as_ref()?.get(name).map(|value| value.as_str())
    }

    /// The token itself: for a signer, or for a protocol that carries it elsewhere. Keep it out of logs.
    pub fn expose_secret(&self) -> &str {
        self.text().get(SCHEME.len()..).unwrap_or_default()
    }

    /// How long it still lives; `None` if the server set no lifetime.
    ///
    /// From now, on the clock of the layer that gave it out. A token that no layer holds has no clock: it tells the
    /// lifetime that it was created with.
    pub fn expires_in(&self) -> Option<Duration> {
        match &self.life {
            Life::Given(lifetime) => *lifetime,
            Life::Held { clock, end } => end.map(|end| clock.now().until(end)),
        }
    }

    /// The scope that the server granted, if it said so.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The header's value, `Bearer <token>`: this one, and copies in memory that is shared with nothing else.
    pub(crate) fn header_for_each_lane(&self) -> Lanes<HeaderValue> {
        let mut this = Some(self.header.clone());
        let copy = || sensitive(Zeroizing::new(self.text().to_owned())).unwrap_or_else(|_| self.header.clone());
        Lanes::new(|| this.take().unwrap_or_else(copy))
    }

    fn text(&self) -> &str {
        str::from_utf8(self.header.as_bytes()).unwrap_or_default()
    }

    /// Whether the two are the same text.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.header == other.header
    }

    /// The time that the authorization server's answer named, if it may be trusted.
    pub(crate) fn server_date(&self) -> Option<SystemTime> {
        self.server_date
    }

    pub(crate) fn with_server_date(mut self, date: Option<SystemTime>) -> Self {
        self.server_date = date;
        self
    }

    /// The same token, some time after its creation.
    pub(crate) fn aged_by(mut self, age: Duration) -> Self {
        if let Life::Given(Some(lifetime)) = &mut self.life {
            *lifetime = lifetime.saturating_sub(age);
        }
        self
    }

    /// The same token, its life counted on a layer's clock.
    pub(crate) fn held_until(mut self, end: Option<Moment>, clock: &Arc<Timepiece>) -> Self {
        self.life = Life::Held { clock: Arc::clone(clock), end };
        self
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_in", &self.expires_in())
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A text that is wiped, on cache lines of its own, with the number of those who share it.
struct Text(CachePadded<Zeroizing<String>>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn sensitive(text: Zeroizing<String>) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Text(CachePadded::new(text))))?;
    value.set_sensitive(true);
    Ok(value)
}

const SCHEME: &str = "Bearer ";
const LONGEST: usize = 16 * 1024;

//! Requests to an origin that is not quite a configured one, which are sent without credentials.

use std::fmt;

use http::Uri;

use super::{Origin, scope::Scope};

/// Response extension: the request was sent without a token, because its origin is not quite a configured one.
///
/// A 401 response carries it if the URI of its request differs from a configured origin only in the scheme, the port, a
/// leading `www.` or a final dot. Use one of the two names everywhere, or add the other with
/// [`origin`](crate::AuthLayerBuilder::origin). A DEBUG event tells of each such origin once, whatever the response.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::rejection::OtherOrigin;
///
/// fn explain<B>(response: &http::Response<B>) {
///     if let Some(reason) = response.extensions().get::<OtherOrigin>() {
///         eprintln!("{}: {reason}", response.status());
///     }
/// }
/// # explain(&http::Response::new(()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherOrigin {
    requested: String,
    configured: String,
}

impl OtherOrigin {
    /// Returns the origin of the request's URI, such as `https://www.example.com`.
    pub fn requested(&self) -> &str {
        &self.requested
    }

    /// Returns the configured origin that it resembles, such as `https://example.com`.
    pub fn configured(&self) -> &str {
        &self.configured
    }

    /// Whether a request to this URI, which is out of scope, was perhaps meant to be in scope.
    #[inline(never)]
    pub(crate) fn of(uri: &Uri, scope: &Scope) -> Option<Self> {
        let authority = uri.authority()?;
        if scope.any_origin {
            let requested = Origin::of(uri).filter(|requested| !requested.trusted)?;
            let configured = format!("https://{}", requested.host);
            return Some(Self { requested: requested.to_string(), configured });
        }
        let is_near = |origin: &&Origin| bare(&origin.host).eq_ignore_ascii_case(bare(authority.host()));
        let configured = scope.origins.iter().find(is_near)?;
        let requested = Origin::of(uri).filter(|requested| requested.key != configured.key)?;
        Some(Self { requested: requested.to_string(), configured: configured.to_string() })
    }
}

impl Scope {
    /// Whether a URI that is out of scope may be meant for an origin in it, as far as the first letter of its host tells.
    #[inline]
    pub(crate) fn may_be_near(&self, uri: &Uri) -> bool {
        let initial = uri.authority().and_then(|authority| authority.as_str().as_bytes().first());
        let is_one = |initial: u8| initial == b'w' || self.origins.iter().any(|origin| origin.initial == initial);
        self.any_origin || initial.is_some_and(|initial| is_one(initial.to_ascii_lowercase()))
    }
}

impl fmt::Display for OtherOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requested, configured } = self;
        write!(f, "the request went to {requested} without a token, since the configured origin is {configured}")
    }
}

/// The host without what is easily added or forgotten.
pub(super) fn bare(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.split_at_checked(WWW.len()) {
        Some((www, rest)) if www.eq_ignore_ascii_case(WWW) => rest,
        _ => host,
    }
}

const WWW: &str = "www.";

//! Scheme, host and port: who may receive a credential.

pub(crate) mod near;
mod scope;

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZero,
};

use http::{Uri, uri::Authority};

pub(crate) use self::scope::{Coverage, Scope, Target};
use crate::{error::AuthError, server_clocks::OriginKey};

/// Scheme, host and port of a server (RFC 6454, section 4).
#[derive(Clone)]
pub(crate) struct Origin {
    https: bool,
    host: String,
    port: u16,
    /// Host and port as a URI usually has them: without the scheme's default port.
    usual: String,
    /// Whether secrets may go there by default: over TLS, or without leaving this machine.
    trusted: bool,
    key: OriginKey,
    /// The first letter of the host, a leading `www.` aside.
    initial: u8,
}

impl Origin {
    /// Reads `https://host[:port]` or `http://host[:port]`, and nothing else.
    pub(crate) fn parse(setting: &str, text: &str) -> Result<Self, AuthError> {
        let (url, origin) = Self::of_url(setting, text)?;
        let authority = url.authority().map_or("", Authority::as_str);
        match text.split_once("://") {
            Some((_, rest)) if rest.len() == authority.len() => Ok(origin),
            _ => {
                let shown = shown(text);
                Err(AuthError::config(format!(
                    "{setting}{shown}: an origin has no path and no query; use \"{origin}\""
                )))
            }
        }
    }

    /// Reads a URL that secrets may be sent to, and its origin. `setting` is the function that it was given to.
    pub(crate) fn of_url(setting: &str, text: &str) -> Result<(Uri, Self), AuthError> {
        let refuse = |why: &str| AuthError::config(format!("{setting}{}: {why}", shown(text)));
        let url: Uri = text.parse().map_err(|_| refuse("not a URL; use one like \"https://host\""))?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refuse("a URL with a user name or a password; remove them"));
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('*')) {
            return Err(refuse("wildcards are not supported; name each host"));
        }
        let origin = Self::of(&url).ok_or_else(|| refuse("not a URL; use \"https://host\" with a port below 65536"))?;
        Ok((url, origin))
    }

    /// The origin of an absolute `http` or `https` URI.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let https = is_https(uri)?;
        let authority = uri.authority()?;
        let port = port(authority, https)?;
        let host = authority.host().to_ascii_lowercase();
        let usual = if port == default_port(https) { host.clone() } else { format!("{host}:{port}") };
        let trusted = https || is_loopback(&host);
        let key = key(https, &host, port);
        let initial = *near::bare(&host).as_bytes().first()?;
        Some(Self { https, host, port, usual, trusted, key, initial })
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    pub(crate) fn is_this_machine(&self) -> bool {
        is_loopback(&self.host)
    }

    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// Tells this origin from others, whose clocks may differ.
    pub(crate) fn key(&self) -> OriginKey {
        self.key
    }

    #[inline]
    fn is_of(&self, https: bool, authority: &Authority) -> bool {
        self.https == https && (authority.as_str() == self.usual || self.is_written_as(authority))
    }

    /// For an authority in capital letters, or with the port though it need not have one. One that names a user is
    /// another.
    fn is_written_as(&self, authority: &Authority) -> bool {
        let Some((host, port)) = authority.as_str().split_at_checked(self.host.len()) else {
            return false;
        };
        port_of(port, self.https) == Some(self.port) && host.eq_ignore_ascii_case(&self.host)
    }
}

/// For the ready-made client.
#[cfg(feature = "client")]
impl Origin {
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.usual)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A setting's value for an error message, unless a secret may be in it.
fn shown(text: &str) -> String {
    if text.contains(['@', '?', '#']) { "()".to_owned() } else { format!("({text:?})") }
}

/// The same for every spelling of an origin, and different for two origins but by a rare chance.
fn key(https: bool, host: &str, port: u16) -> OriginKey {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(https.into());
    hasher.write_u16(port);
    host.bytes().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
    let [.., a, b, c, d] = hasher.finish().to_be_bytes();
    OriginKey(NonZero::new(u32::from_be_bytes([a, b, c, d])).unwrap_or(NonZero::<u32>::MAX))
}

#[inline]
fn is_https(uri: &Uri) -> Option<bool> {
    match uri.scheme_str()? {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    }
}

/// The port that a client would connect to; `None` where the text after the host is no port at all.
#[inline]
fn port(authority: &Authority, https: bool) -> Option<u16> {
    let host_and_port = authority.as_str().rsplit('@').next()?;
    port_of(host_and_port.get(authority.host().len()..)?, https)
}

/// The port that this text after a host means.
#[inline]
fn port_of(text: &str, https: bool) -> Option<u16> {
    match text {
        "" | ":" => Some(default_port(https)),
        // `parse` alone would let a sign pass.
        port => port.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok(),
    }
}

const fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// 127.0.0.0/8, `[::1]` and `localhost`, which do not leave this machine.
fn is_loopback(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        }
    }
}

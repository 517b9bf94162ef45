//! Where servers are, and who may use them: from URLs.

use std::{fmt, path::PathBuf};

use redis::{ConnectionAddr, IntoConnectionInfo};
use secrecy::SecretString;

use crate::error::AuthError;

/// A server, and whether it is reached over TLS.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) place: Place,
    pub(super) tls: bool,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// User, password and database.
#[derive(Clone, Default)]
pub(super) struct Access {
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) database: i64,
}

impl Server {
    /// A master of this name, without TLS.
    pub(super) fn named(name: &str) -> Self {
        Self { place: Place::Tcp(name.to_owned(), 0), tls: false }
    }

    pub(super) fn host(&self) -> &str {
        match &self.place {
            Place::Tcp(host, _) => host,
            Place::Unix(_) => "",
        }
    }

    /// Another server, reached in the same way.
    pub(super) fn at(&self, host: &str, port: u16) -> Self {
        Self { place: Place::Tcp(host.to_owned(), port), tls: self.tls }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(host, port) => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Reads a URL. No error repeats it, since it may hold a password.
pub(super) fn server(place: &str, url: &str) -> Result<(Server, Access), AuthError> {
    let unreadable = || {
        AuthError::config(format!(
            "`{place}`: the URL cannot be read; use \"redis://[user:password@]host[:port][/database]\", or rediss:// with TLS, \
             with special characters of the password percent-encoded"
        ))
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(unreadable)?;
    if rest.contains('#') {
        return Err(AuthError::config(format!(
            "`{place}`: the URL has a fragment; leave it out, and write # in a password as %23"
        )));
    }
    let tls = ["rediss", "valkeys"].contains(&scheme);
    // TLS is made here, so the crate need not know of it.
    let scheme = if tls { "redis" } else { scheme };
    let info = format!("{scheme}://{rest}").into_connection_info().map_err(|_| unreadable())?;
    let address = match info.addr() {
        ConnectionAddr::Tcp(host, port) => Place::Tcp(host.clone(), *port),
        ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
        _ => return Err(unreadable()),
    };
    let settings = info.redis_settings();
    let access = Access {
        user: settings.username().map(str::to_owned),
        password: settings.password().map(SecretString::from),
        database: settings.db(),
    };
    Ok((Server { place: address, tls }, access))
}

pub(super) fn nodes<U: AsRef<str>>(
    place: &str,
    urls: impl IntoIterator<Item = U>,
) -> Result<Vec<(Server, Access)>, AuthError> {
    let nodes: Vec<_> = urls.into_iter().map(|url| server(place, url.as_ref())).collect::<Result<_, _>>()?;
    if nodes.is_empty() {
        return Err(AuthError::config(format!("`{place}`: no URL; name at least one server")));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_url_has_user_password_and_database() {
        let (found, access) = server("connect", "rediss://us%40er:p%23w@redis.internal:6380/3").unwrap();
        assert_eq!(format!("{found:?} {}", found.tls), "redis.internal:6380 true");
        assert_eq!((access.user.as_deref(), access.database), (Some("us@er"), 3));
        assert_eq!(access.password.unwrap().expose_secret(), "p#w");
        for (url, expected) in [
            ("redis://localhost", "localhost:6379 false"),
            ("valkeys://[::1]:7000", "::1:7000 true"),
            ("redis://:pw@10.0.0.1", "10.0.0.1:6379 false"),
            ("unix:///run/redis.sock", "/run/redis.sock false"),
        ] {
            let (found, _) = server("connect", url).unwrap();
            assert_eq!(format!("{found:?} {}", found.tls), expected);
        }
    }

    #[test]
    fn f5_an_unreadable_url_is_not_repeated() {
        for url in [
            "",
            "planted",
            "http://planted",
            "redis://",
            "redis://u:planted@h:x",
            "redis://u:planted@h/x",
            "rediss://u:planted@h/#insecure",
            "redis://planted#@h",
        ] {
            let error = server("connect", url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("planted"), "{url}");
        }
    }
}

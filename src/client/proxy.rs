//! Forward proxies: their URLs, the environment's among them, and which of them a request goes through.

use std::{env, ffi::OsString};

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use super::no_proxy::{NoProxy, entries};
use crate::{basic, error::AuthError, origin::Origin};

/// A forward proxy.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) origin: Origin,
    /// What it is told as `Proxy-Authorization`.
    pub(super) authorization: Option<HeaderValue>,
}

/// The proxies, and what is reached without them.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    pub(super) https: Option<Proxy>,
    pub(super) http: Option<Proxy>,
    no_proxy: Vec<NoProxy>,
    /// Whether the environment was read, which may name no proxy.
    read_env: bool,
}

impl Proxy {
    /// Reads `http://host[:port]` or `https://host[:port]`, with or without a final slash.
    pub(super) fn parse(url: &str) -> Result<Self, AuthError> {
        let origin = Origin::parse("proxy", url.strip_suffix('/').unwrap_or(url)).map_err(|_| {
            AuthError::config(
                "`proxy`: the URL must be \"http://host:port\" or \"https://host:port\", without a path or a query; user \
                 name and password belong in `proxy_credentials`",
            )
        })?;
        Ok(Self { origin, authorization: None })
    }

    /// Reads a URL as the environment has it: the scheme may be missing, and user name and password may be in it.
    fn parse_from_env(url: &str) -> Option<Self> {
        let any = Uri::from_static("https://any.invalid");
        let found = Matcher::builder().all(url).build().intercept(&any)?;
        let origin = Origin::of(found.uri())?;
        Some(Self { origin, authorization: found.basic_auth().cloned() })
    }
}

impl Proxies {
    /// The proxy for a connection to this server.
    pub(super) fn find(&self, server: &Origin) -> Option<&Proxy> {
        // A proxy would take `localhost` for its own machine.
        if server.is_this_machine() || self.no_proxy.iter().any(|entry| entry.matches(server.host(), server.port())) {
            return None;
        }
        if server.is_https() { self.https.as_ref() } else { self.http.as_ref() }
    }

    /// What the proxy is told about a request that goes to it as it is, since it is for a server without TLS.
    pub(super) fn forwarding(&self, uri: &Uri) -> Option<&HeaderValue> {
        let server = Origin::of(uri).filter(|server| !server.is_https())?;
        self.find(&server)?.authorization.as_ref()
    }

    /// Adds what the environment names, as curl reads it: the lower-case variable first, and an empty one is not set.
    pub(super) fn add_env(&mut self) -> Result<(), AuthError> {
        self.add_vars(env::var_os::<&str>)
    }

    fn add_vars(&mut self, var: impl Fn(&'static str) -> Option<OsString>) -> Result<(), AuthError> {
        self.read_env = true;
        let first = |names: [&'static str; 2]| {
            let mut set = names.into_iter().filter_map(|name| Some((name, var(name)?)));
            set.find(|(_, value)| !value.is_empty())
        };
        let proxy = |names| {
            first(names)
                .map(|(name, value)| value.to_str().and_then(Proxy::parse_from_env).ok_or_else(|| bad_var(name)))
        };
        let all = proxy(["all_proxy", "ALL_PROXY"]).transpose()?;
        let https = proxy(["https_proxy", "HTTPS_PROXY"]).transpose()?;
        self.https = https.or_else(|| all.clone()).or(self.https.take());
        self.http = all.or(self.http.take());
        if let Some((name, value)) = first(["no_proxy", "NO_PROXY"]) {
            let list = value.to_str().ok_or_else(|| bad_var(name))?;
            // As other programs do, it passes over what names no host: the list is not for this crate alone.
            self.no_proxy.extend(entries(list).filter_map(|entry| entry.parse().ok()));
        }
        Ok(())
    }

    /// Adds a list that is for this client alone, so that a mistake in it can be told.
    pub(super) fn add_no_proxy(&mut self, list: &str) -> Result<(), AuthError> {
        for entry in entries(list) {
            self.no_proxy.push(entry.parse().map_err(|()| {
                AuthError::config(format!(
                    "`no_proxy`: {entry:?} is no host, \".suffix\", \"*\", IP address or network such as \"10.0.0.0/8\"; a \
                     port may follow a host, a scheme may not precede it"
                ))
            })?);
        }
        Ok(())
    }

    /// Has each proxy told these credentials instead of those of its URL.
    pub(super) fn authorize(&mut self, user: &str, password: &str) -> Result<(), AuthError> {
        if self.https.is_none() && self.http.is_none() && !self.read_env {
            return Err(AuthError::config("`proxy_credentials` is set without a proxy; set `proxy` as well"));
        }
        let authorization = authorization(user, password)?;
        for proxy in [&mut self.https, &mut self.http].into_iter().flatten() {
            proxy.authorization = Some(authorization.clone());
        }
        Ok(())
    }
}

/// RFC 7617, section 2.
fn authorization(user: &str, password: &str) -> Result<HeaderValue, AuthError> {
    if user.contains(':') {
        return Err(AuthError::config("`proxy_credentials`: a user name with a colon cannot be sent"));
    }
    if [user, password].iter().any(|text| text.chars().any(char::is_control)) {
        return Err(AuthError::config(
            "`proxy_credentials`: a control character cannot be sent; remove the line end if it was read from a file",
        ));
    }
    basic::header(user, password)
}

/// Names the variable, never its value, which may hold a password.
fn bad_var(name: &str) -> AuthError {
    AuthError::config(format!(
        "the environment variable {name} is no proxy URL that this client can use: it must be \"http://host:port\" or \
         \"https://host:port\", with or without \"user:password@\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these variables: the proxies for `https` and `http`.
    fn read(vars: &[(&str, &str)]) -> Result<Proxies, AuthError> {
        let mut proxies = Proxies::default();
        let var = |name| vars.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value));
        proxies.add_vars(var).map(|()| proxies)
    }

    fn origins(vars: &[(&str, &str)]) -> [Option<String>; 2] {
        let proxies = read(vars).unwrap();
        [proxies.https, proxies.http].map(|proxy| proxy.map(|proxy| proxy.origin.to_string()))
    }

    #[test]
    fn variables_are_read_in_the_order_of_curl() {
        let (a, b) = (Some("http://a:1".to_owned()), Some("http://b:2".to_owned()));
        for (vars, expected) in [
            (&[][..], [None, None]),
            (&[("HTTPS_PROXY", "http://a:1")], [a.clone(), None]),
            (&[("ALL_PROXY", "http://a:1")], [a.clone(), a.clone()]),
            (&[("HTTPS_PROXY", "http://a:1"), ("all_proxy", "http://b:2")], [a.clone(), b.clone()]),
            (&[("HTTPS_PROXY", "http://b:2"), ("https_proxy", "http://a:1")], [a.clone(), None]),
            (&[("ALL_PROXY", "http://b:2"), ("all_proxy", "http://a:1")], [a.clone(), a.clone()]),
            (&[("https_proxy", ""), ("HTTPS_PROXY", "http://a:1")], [a.clone(), None]),
            (&[("https_proxy", ""), ("ALL_PROXY", "a:1")], [a.clone(), a.clone()]),
            (&[("HTTP_PROXY", "http://a:1")], [None, None]),
        ] {
            assert_eq!(origins(vars), expected, "{vars:?}");
        }
    }

    #[test]
    fn user_name_and_password_of_the_url_are_told_to_the_proxy() {
        let proxies = read(&[("HTTPS_PROXY", "https://Aladdin:open%20sesame@proxy.example/")]).unwrap();
        let proxy = proxies.https.unwrap();
        assert_eq!(proxy.origin.to_string(), "https://proxy.example");
        let authorization = proxy.authorization.unwrap();
        assert_eq!(authorization, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(authorization.is_sensitive());
    }

    #[test]
    fn a_variable_that_is_no_proxy_is_named_without_its_value() {
        for url in
            ["socks5://u:s3cret@proxy.example:1080", "http://u:s3cret@", "ftp://s3cret", "://s3cret", "s3cret :1"]
        {
            let error = read(&[("https_proxy", url)]).unwrap_err();
            assert!(error.to_string().contains("https_proxy") && !format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn what_the_list_names_is_reached_without_a_proxy_and_so_is_this_machine() {
        let vars = [("ALL_PROXY", "http://a:1"), ("NO_PROXY", "http://odd, .corp.example,10.0.0.0/8, b.example:8443")];
        let proxies = read(&vars).unwrap();
        let is_proxied = |url: &'static str| proxies.find(&Origin::of(&Uri::from_static(url)).unwrap()).is_some();
        for url in ["https://example.com", "http://example.com", "https://b.example", "https://11.0.0.1"] {
            assert!(is_proxied(url), "{url}");
        }
        for url in ["https://x.corp.example", "http://10.1.2.3:8080", "https://b.example:8443", "https://localhost:1"] {
            assert!(!is_proxied(url), "{url}");
        }
    }
}

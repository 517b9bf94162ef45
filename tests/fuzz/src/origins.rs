//! S3: credentials go to a configured origin and nowhere else. The `url` crate is the second opinion on what an origin is.

use http::{HeaderValue, Method, Request, StatusCode, Uri, header::HOST};
use tower_outbound_auth::{AuthError, AuthLayer, ErrorKind, signing::SignRules};
use url::{Host, Url};

use crate::{
    drive::{Limits, drive},
    input::Input,
    stack::{MARK, Mark, Seen, Tokens, has_token, response, send},
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (any_origin, insecure) = (input.one_in(8), input.one_in(4));
    let origins: Vec<_> = (0..input.below(3) + usize::from(!any_origin)).map(|_| Text::of(&mut input)).collect();
    let rules = Rules { origins, any_origin, insecure, relative: input.one_in(3) };
    let tokens = Tokens::default();
    let Some(layer) = rules.layer(&tokens) else {
        return;
    };
    let mut in_scope = false;
    for _ in 0..4 {
        let wanted = if input.one_in(2) { rules.origins.first().cloned() } else { None };
        let text = wanted.unwrap_or_else(|| Text::of(&mut input)).varied(&mut input);
        let Some(request) = request(&mut input, &rules, &text) else {
            continue;
        };
        let outcome = outcome(&layer, &request);
        let may = rules.may_authorize(&request);
        match outcome {
            Outcome::Authorized => assert!(may, "{rules:?}: a credential for {request:?}"),
            Outcome::Unchanged => {
                let must = may && text.parts.as_ref().is_some_and(|parts| rules.must_authorize(parts, &request));
                assert!(!must, "{rules:?}: no credential for {request:?}");
                assert!(
                    is_absolute(&request) || !is_plain(&request),
                    "{rules:?}: sent without a credential: {request:?}"
                );
            }
            Outcome::Refused => {
                assert!(!is_absolute(&request) && is_plain(&request), "{rules:?}: refused: {request:?}");
                assert!(!may || !rules.has_literal_host(&request), "{rules:?}: refused: {request:?}");
            }
        }
        in_scope |= outcome == Outcome::Authorized;
        assert_eq!(tokens.fetched(), usize::from(in_scope), "a token is fetched only for a request in scope");
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Authorized,
    Unchanged,
    /// Not sent: a `Config` error.
    Refused,
}

/// An origin or a URI, and its parts where they are known.
#[derive(Clone, Debug)]
struct Text {
    whole: String,
    parts: Option<Parts>,
}

#[derive(Clone, Debug)]
struct Parts {
    scheme: String,
    user: &'static str,
    host: String,
    port: &'static str,
}

#[derive(Debug)]
struct Rules {
    origins: Vec<Text>,
    any_origin: bool,
    insecure: bool,
    relative: bool,
}

impl Text {
    fn of(input: &mut Input<'_>) -> Self {
        if input.one_in(6) {
            let whole = String::from_utf8_lossy(input.some_bytes()).into_owned();
            return Self { whole, parts: None };
        }
        let scheme = input.pick(&["https", "https", "http", "http", "HTTPS", "Http", "ws", "ftp"]).to_owned();
        let user = if input.one_in(8) { input.pick(&USERS) } else { "" };
        let host = input.pick(&HOSTS).to_owned();
        Self::from(Parts { scheme, user, host, port: input.pick(&PORTS) })
    }

    /// Returns the same with another user, port or case; often still the same origin.
    fn varied(self, input: &mut Input<'_>) -> Self {
        let Some(mut parts) = self.parts else {
            return self;
        };
        match input.below(8) {
            1 => parts.host = parts.host.to_ascii_uppercase(),
            2 => parts.user = input.pick(&USERS),
            3 => parts.port = input.pick(&PORTS),
            4 => parts.host = format!("{}{}", parts.host, input.pick(&[".", ".evil.org", "x", "%2eevil.org"])),
            5 => input.pick(&["https", "http", "HTTPS", "wss"]).clone_into(&mut parts.scheme),
            6 => parts.host = format!("{}{}", input.pick(&["x.", "x", "evil.org%2f", "evil.org:443@"]), parts.host),
            _ => {}
        }
        Self::from(parts)
    }
}

impl From<Parts> for Text {
    fn from(parts: Parts) -> Self {
        let Parts { scheme, user, host, port } = &parts;
        Self { whole: format!("{scheme}://{user}{host}{port}"), parts: Some(parts) }
    }
}

impl Parts {
    /// Scheme and host in lower case, and the port that a client would connect to.
    fn origin(&self) -> Option<(String, String, u16)> {
        let scheme = self.scheme.to_ascii_lowercase();
        let default = if scheme == "https" { 443 } else { 80 };
        let port = self.port.strip_prefix(':').filter(|port| !port.is_empty());
        let digits = port.is_none_or(|port| port.chars().all(|c| c.is_ascii_digit()));
        let port = port.map_or(Some(default), |port| port.parse().ok());
        (digits && ["http", "https"].contains(&&*scheme)).then_some((scheme, self.host.to_ascii_lowercase(), port?))
    }

    /// Whether the URI consists of them.
    fn are_of(&self, uri: &Uri) -> bool {
        uri.authority()
            .is_some_and(|authority| authority.as_str() == format!("{}{}{}", self.user, self.host, self.port))
            && uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case(&self.scheme))
    }
}

impl Rules {
    /// Returns a layer with these rules; `None` if `build` refused them, rightly.
    fn layer(&self, tokens: &Tokens) -> Option<AuthLayer> {
        let mut builder = AuthLayer::builder(tokens.clone()).sign(SignRules::all(), Mark);
        for origin in &self.origins {
            builder = builder.origin(&origin.whole);
        }
        builder = if self.any_origin { builder.any_origin() } else { builder };
        builder = if self.insecure { builder.allow_insecure_http() } else { builder };
        builder = if self.relative { builder.allow_relative_uri() } else { builder };
        match builder.build() {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Config);
                let good = self.origins.iter().all(|origin| is_plainly_an_origin(&origin.whole, self.insecure));
                assert!(!good, "{self:?} refused: {error}");
                None
            }
            Ok(layer) => {
                let bad = self.origins.iter().find(|origin| is_no_origin(&origin.whole, self.insecure));
                assert!(bad.is_none(), "{self:?} accepted");
                Some(layer)
            }
        }
    }

    /// Whether the request may carry credentials, by the second opinion.
    fn may_authorize(&self, request: &Request<()>) -> bool {
        let Some(authority) = request.uri().authority() else {
            return self.may_authorize_relative(request);
        };
        let Some(scheme @ ("http" | "https")) = request.uri().scheme_str() else {
            return false;
        };
        let text = format!("{scheme}://{authority}");
        let host = Url::parse(&format!("http://{}", authority.host()));
        let secure = scheme == "https" || self.insecure || host.is_ok_and(|host| is_loopback(&host));
        request.method() != Method::TRACE
            && secure
            && !authority.as_str().contains('@')
            && (self.any_origin || self.origins.iter().any(|origin| are_one_origin(&text, &origin.whole)))
            && request.headers().get_all(HOST).iter().all(|host| is_host_of(host, &text))
    }

    /// The same for a URI without a host: the inner service chooses the server.
    fn may_authorize_relative(&self, request: &Request<()>) -> bool {
        let names_an_origin =
            |host: &HeaderValue| self.any_origin || self.origins.iter().any(|origin| is_host_of(host, &origin.whole));
        self.relative
            && is_plain(request)
            && !request.uri().path().starts_with("//")
            && !request.uri().path().starts_with("/\\")
            && request.headers().get_all(HOST).iter().all(names_an_origin)
    }

    /// Whether the request, with these parts, must carry credentials by the letter of the guarantee: scheme, host and port
    /// are equal, and it is secure or allowed.
    fn must_authorize(&self, parts: &Parts, request: &Request<()>) -> bool {
        let Some(wanted @ (scheme, ..)) = &parts.origin() else {
            return false;
        };
        let loopback = Url::parse(&format!("http://{}", parts.host)).is_ok_and(|url| is_loopback(&url));
        let canonical = LOOPBACK_AS_WRITTEN.contains(&&*parts.host.to_ascii_lowercase());
        let secure = scheme == "https" || self.insecure || loopback && canonical;
        let known = |origin: &Text| origin.parts.as_ref().and_then(Parts::origin).as_ref() == Some(wanted);
        let is_in_scope = self.any_origin || self.origins.iter().any(known);
        secure && is_in_scope && parts.are_of(request.uri()) && self.has_literal_host(request)
    }

    /// Whether each `Host` header is, letter by letter, what the URI or a configured origin has.
    fn has_literal_host(&self, request: &Request<()>) -> bool {
        let authorities: Vec<_> = match request.uri().authority() {
            Some(authority) => vec![authority.as_str()],
            None => self.origins.iter().filter_map(|origin| origin.whole.split("://").nth(1)).collect(),
        };
        request.headers().get_all(HOST).iter().all(|host| authorities.iter().any(|authority| host == authority))
    }
}

/// Whether a `Host` header names the host and port of this origin.
fn is_host_of(host: &HeaderValue, origin: &str) -> bool {
    let scheme = origin.split("://").next().unwrap_or_default();
    let host = host.to_str().ok().filter(|host| !host.contains('@'));
    host.is_some_and(|host| are_one_origin(origin, &format!("{scheme}://{host}")))
}

/// Whether both are of one origin by `url`. If it cannot read them, the hosts must be the same text.
fn are_one_origin(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => one.origin() == other.origin(),
        (Err(_), Err(_)) => host_in(one).eq_ignore_ascii_case(host_in(other)),
        _ => false,
    }
}

fn is_absolute(request: &Request<()>) -> bool {
    request.uri().authority().is_some()
}

/// Whether the method is not one of those that pass unchanged.
fn is_plain(request: &Request<()>) -> bool {
    ![Method::TRACE, Method::CONNECT].contains(request.method())
}

/// Whether it is `scheme://host[:port]` as `url` writes it, and secure or allowed.
fn is_plainly_an_origin(text: &str, insecure: bool) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".:/[]-".contains(c);
    Url::parse(text).is_ok_and(|url| {
        let scheme = url.scheme();
        url.origin().ascii_serialization() == text
            && text.chars().all(plain)
            && (scheme == "https" || scheme == "http" && (insecure || is_loopback(&url)))
    })
}

/// Whether it is certainly not an origin, or one that would receive credentials in plain text.
fn is_no_origin(text: &str, insecure: bool) -> bool {
    let lower = text.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("https://").or(lower.strip_prefix("http://")) else {
        return true;
    };
    let url = Url::parse(text);
    let in_the_clear = lower.starts_with("http:") && !url.as_ref().is_ok_and(is_loopback);
    rest.is_empty()
        || rest.contains(|c: char| "/?#\\@*".contains(c) || c.is_whitespace() || c.is_control())
        || in_the_clear && !insecure
        || url.is_ok_and(|url| url.path() != "/" || url.query().is_some() || url.host_str().is_none())
}

/// Returns what is between user and port.
fn host_in(text: &str) -> &str {
    let authority = text.rsplit(['/', '@']).next().unwrap_or_default();
    authority.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix(':').unwrap_or(authority)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Returns a request to this origin, or to one that resembles it.
fn request(input: &mut Input<'_>, rules: &Rules, text: &Text) -> Option<Request<()>> {
    let tail = input.pick(&["/v1/reports", "", "/", "?q", "/@api.example.com", "//api.example.com/", "/\\@x"]);
    let mut request = Request::new(());
    *request.uri_mut() = uri(input, &format!("{}{tail}", text.whole))?;
    *request.method_mut() = if input.one_in(8) { input.pick(&METHODS) } else { "GET" }.parse().ok()?;
    for _ in 0..input.pick(&[0, 0, 0, 0, 0, 0, 1, 2]) {
        let other = if input.one_in(2) { rules.origins.first().cloned() } else { None };
        let host = other.unwrap_or_else(|| text.clone()).varied(input).whole;
        let host = host.split("://").nth(1).unwrap_or(&host);
        request.headers_mut().append(HOST, HeaderValue::from_str(host).ok()?);
    }
    Some(request)
}

/// Returns the URI as it is written, built from its parts, or without one of them.
fn uri(input: &mut Input<'_>, text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let mut parts = uri.clone().into_parts();
    match input.below(10) {
        1 => parts.scheme = None,
        2 => (parts.scheme, parts.authority) = (None, None),
        _ => return Some(uri),
    }
    if parts.authority.is_some() {
        parts.path_and_query = None;
    }
    Uri::from_parts(parts).ok()
}

fn outcome(layer: &AuthLayer, request: &Request<()>) -> Outcome {
    let seen = Seen::default();
    let result = drive(LIMITS, send(layer, request.clone(), &seen, |_| response(StatusCode::OK)));
    let seen = seen.lock().expect("not poisoned");
    if let Err(error) = result {
        assert_eq!(AuthError::find(&*error).map(AuthError::kind), Some(ErrorKind::Config), "{error}");
        assert!(seen.is_empty(), "refused and sent");
        return Outcome::Refused;
    }
    let [sent] = &seen[..] else {
        panic!("sent {} times", seen.len());
    };
    assert_eq!((sent.method(), sent.uri()), (request.method(), request.uri()), "changed");
    assert_eq!(sent.headers().contains_key(MARK), has_token(sent), "signed without a token, or the reverse");
    if has_token(sent) {
        return Outcome::Authorized;
    }
    assert_eq!(sent.headers(), request.headers(), "changed");
    Outcome::Unchanged
}

const METHODS: [&str; 4] = ["TRACE", "CONNECT", "POST", "OPTIONS"];
const USERS: [&str; 6] = ["user@", "user:pass@", "api.example.com@", "api.example.com:443@", "@", "a@b@"];
const HOSTS: [&str; 30] = [
    "api.example.com",
    "api.example.com",
    "API.example.com",
    "api.example.com.",
    "example.com",
    "xn--bcher-kva.example",
    "ex%61mple.com",
    "a_b",
    "-",
    "",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1",
    "127.1",
    "127.255.0.9",
    "2130706433",
    "0x7f000001",
    "127.0.0.1.",
    "256.1.1.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[127.0.0.1]",
    "[2001:db8::1]",
    "[2001:DB8::1]",
    "[::1",
    "::1",
    "*.example.com",
    "*",
];
const PORTS: [&str; 16] =
    ["", "", "", "", ":", ":443", ":80", ":0443", ":8443", ":65535", ":65536", ":+443", ":-1", ":0", ":00", ":4 3"];
/// Names of this machine in their usual form.
const LOOPBACK_AS_WRITTEN: [&str; 5] = ["localhost", "127.0.0.1", "127.255.0.9", "[::1]", "[0:0:0:0:0:0:0:1]"];
const LIMITS: Limits = Limits { polls: 100, bytes: 256 * 1024 };

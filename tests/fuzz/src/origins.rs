//! S3: credentials go to a configured origin and nowhere else; the `url` crate is the second opinion on what an origin is.

use http::{Request, StatusCode, Uri};
use tower_outbound_auth::{AuthLayer, ErrorKind, SignRules};
use url::{Host, Url};

use crate::{
    drive::{Limits, drive},
    input::Input,
    stack::{MARK, Mark, Seen, Tokens, answer, is_logged_in, send},
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (any_origin, insecure) = (input.one_in(8), input.one_in(4));
    let origins: Vec<_> = (0..input.below(3) + usize::from(!any_origin)).map(|_| Text::of(&mut input)).collect();
    let rules = Rules { origins, any_origin, insecure };
    let tokens = Tokens::default();
    let Some(layer) = rules.layer(&tokens) else {
        return;
    };
    let mut in_scope = false;
    for _ in 0..4 {
        let wanted = if input.one_in(2) { rules.origins.first().cloned() } else { None };
        let text = wanted.unwrap_or_else(|| Text::of(&mut input)).varied(&mut input);
        let tail = input.pick(&["/v1/reports", "", "/", "?q", "/@api.example.com", "//api.example.com/", "/\\@x"]);
        let Some(uri) = uri(&mut input, &format!("{}{tail}", text.whole)) else {
            continue;
        };
        let logged_in = is_sent_with_credentials(&layer, &uri);
        if logged_in {
            assert!(rules.may_see_it(&uri), "{rules:?}: a credential for {uri}");
        } else {
            assert!(uri.authority().is_some(), "{rules:?}: no credential for {uri}, which names nobody");
            let must = text.parts.as_ref().is_some_and(|parts| rules.must_see_it(parts) && parts.are_of(&uri));
            assert!(!must, "{rules:?}: no credential for {uri}");
        }
        in_scope |= logged_in;
        assert_eq!(tokens.fetched(), usize::from(in_scope), "a token is fetched for those in scope only");
    }
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

    /// The same with another user, port or case; often still the same origin.
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
    /// As they would be compared: scheme and host in lower case, the port that a client would connect to.
    fn origin(&self) -> Option<(String, String, u16)> {
        let scheme = self.scheme.to_ascii_lowercase();
        let default = if scheme == "https" { 443 } else { 80 };
        let port = self.port.strip_prefix(':').filter(|port| !port.is_empty());
        let digits = port.is_none_or(|port| port.chars().all(|c| c.is_ascii_digit()));
        let port = port.map_or(Some(default), |port| port.parse().ok());
        (digits && ["http", "https"].contains(&&*scheme)).then_some((scheme, self.host.to_ascii_lowercase(), port?))
    }

    /// Whether the URI still consists of them.
    fn are_of(&self, uri: &Uri) -> bool {
        uri.authority()
            .is_some_and(|authority| authority.as_str() == format!("{}{}{}", self.user, self.host, self.port))
            && uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case(&self.scheme))
    }
}

impl Rules {
    /// A layer by these rules; none if it was right to refuse them.
    fn layer(&self, tokens: &Tokens) -> Option<AuthLayer> {
        let mut builder = AuthLayer::builder(tokens.clone()).sign(SignRules::all(), Mark);
        for origin in &self.origins {
            builder = builder.origin(&origin.whole);
        }
        builder = if self.any_origin { builder.any_origin() } else { builder };
        builder = if self.insecure { builder.allow_insecure_http() } else { builder };
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

    /// By the second opinion. Where `url` has none, the host has to be the same text.
    fn may_see_it(&self, uri: &Uri) -> bool {
        let Some(authority) = uri.authority() else {
            return true;
        };
        let Some(scheme @ ("http" | "https")) = uri.scheme_str() else {
            return false;
        };
        let text = format!("{scheme}://{authority}");
        let url = Url::parse(&text);
        let host = Url::parse(&format!("http://{}", authority.host()));
        let secure = scheme == "https" || self.insecure || host.is_ok_and(|host| is_loopback(&host));
        let of_it = |origin: &Text| match (&url, Url::parse(&origin.whole)) {
            (Ok(url), Ok(origin)) => url.origin() == origin.origin(),
            (Err(_), Err(_)) => host_in(&text).eq_ignore_ascii_case(host_in(&origin.whole)),
            _ => false,
        };
        secure && (self.any_origin || self.origins.iter().any(of_it))
    }

    /// By the letter of the promise: scheme, host and port are equal, and it is safe or allowed.
    fn must_see_it(&self, parts: &Parts) -> bool {
        let Some(wanted @ (scheme, ..)) = &parts.origin() else {
            return false;
        };
        let loopback = Url::parse(&format!("http://{}", parts.host)).is_ok_and(|url| is_loopback(&url));
        let canonical = LOOPBACK_AS_WRITTEN.contains(&&*parts.host.to_ascii_lowercase());
        let secure = scheme == "https" || self.insecure || loopback && canonical;
        let known = |origin: &Text| origin.parts.as_ref().and_then(Parts::origin).as_ref() == Some(wanted);
        secure && (self.any_origin || self.origins.iter().any(known))
    }
}

/// `scheme://host[:port]` as `url` would write it itself, and safe or allowed.
fn is_plainly_an_origin(text: &str, insecure: bool) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".:/[]-".contains(c);
    Url::parse(text).is_ok_and(|url| {
        let scheme = url.scheme();
        url.origin().ascii_serialization() == text
            && text.chars().all(plain)
            && (scheme == "https" || scheme == "http" && (insecure || is_loopback(&url)))
    })
}

/// Anything more, or less, than an origin; or one that sends in the clear.
fn is_no_origin(text: &str, insecure: bool) -> bool {
    let lower = text.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("https://").or(lower.strip_prefix("http://")) else {
        return true;
    };
    let url = Url::parse(text);
    let in_the_clear = lower.starts_with("http:") && !url.as_ref().is_ok_and(is_loopback);
    rest.is_empty()
        || rest.contains(|c: char| "/?#\\@".contains(c) || c.is_whitespace() || c.is_control())
        || in_the_clear && !insecure
        || url.is_ok_and(|url| url.path() != "/" || url.query().is_some() || url.host_str().is_none())
}

/// What stands between user and port.
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

/// The URI as it is written, put together from its parts, or without one of them.
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

fn is_sent_with_credentials(layer: &AuthLayer, uri: &Uri) -> bool {
    let mut request = Request::new(());
    *request.uri_mut() = uri.clone();
    let seen = Seen::default();
    drive(LIMITS, send(layer, request, &seen, |_| answer(StatusCode::OK))).expect("an answer");
    let seen = seen.lock().expect("nobody panics with it");
    let [request] = &seen[..] else {
        panic!("sent {} times", seen.len());
    };
    assert_eq!(request.uri(), uri, "the URI is the caller's");
    assert_eq!(request.headers().contains_key(MARK), is_logged_in(request), "signed without a token, or the reverse");
    is_logged_in(request)
}

const USERS: [&str; 6] = ["user@", "user:pass@", "api.example.com@", "api.example.com:443@", "@", "a@b@"];
const HOSTS: [&str; 28] = [
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
];
const PORTS: [&str; 16] =
    ["", "", "", "", ":", ":443", ":80", ":0443", ":8443", ":65535", ":65536", ":+443", ":-1", ":0", ":00", ":4 3"];
/// Names for this machine that need no rules to be read.
const LOOPBACK_AS_WRITTEN: [&str; 5] = ["localhost", "127.0.0.1", "127.255.0.9", "[::1]", "[0:0:0:0:0:0:0:1]"];
const LIMITS: Limits = Limits { polls: 100, bytes: 256 * 1024 };

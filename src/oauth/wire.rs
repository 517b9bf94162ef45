//! What a token response means (RFC 6749, sections 5.1 and 5.2): pure functions of status, headers and body.

use std::{borrow::Cow, time::Duration};

use http::{
    HeaderMap, StatusCode, Uri,
    header::{CONTENT_ENCODING, LOCATION},
};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{
    echo::EchoFilter,
    members::{Members, scalar, strings},
};
use crate::{
    error::{AuthError, ErrorKind},
    origin::Origin,
    token::AccessToken,
};

/// What a token response is held against.
pub(super) struct Expected<'a> {
    /// Besides `Bearer`.
    pub(super) token_types: &'a [String],
    pub(super) echo: EchoFilter<'a>,
}

/// A token, and whether its response has a lifetime that means nothing.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) token: AccessToken,
    pub(super) lifetime_unusable: bool,
}

impl Expected<'_> {
    /// Reads the response to a token request. `body` is `None` if it was too long to be read.
    pub(super) fn read(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<&[u8]>,
    ) -> Result<Granted, AuthError> {
        let members = body.and_then(Members::parse);
        if !status.is_success() {
            return Err(self.refusal(status, headers, members.as_ref()));
        }
        if body.is_none() {
            return Err(malformed("the token response is longer than 64 KiB"));
        }
        let members = members.ok_or_else(|| self.not_json(headers))?;
        if has_error(&members) {
            self.hide_token(&members);
            return Err(self.refusal(status, headers, Some(&members)));
        }
        self.check_token_type(&members)?;
        let token = members.string("access_token");
        let token = token.ok_or_else(|| malformed("the token response has no access_token that is a string"))?;
        let (lifetime, lifetime_unusable) = lifetime(members.json("expires_in"));
        let mut token = AccessToken::new(SecretString::from(token.as_str()), lifetime)?;
        // Programs write the scope to their logs.
        if let Some(scope) = scope(&members).filter(|scope| self.echo.is_usable(scope, token.expose_secret())) {
            token = token.with_scope(scope.as_str());
        }
        for (name, value) in members.scalars().filter(|(name, _)| !STANDARD_MEMBERS.contains(name)) {
            token = token.with_response_field(name, value.as_str());
        }
        Ok(Granted { token, lifetime_unusable })
    }

    /// Keeps the token out of the error, should another member repeat it.
    fn hide_token(&mut self, members: &Members<'_>) {
        if let Some(token) = members.string("access_token") {
            self.echo.add(&token);
        }
    }

    fn check_token_type(&mut self, members: &Members<'_>) -> Result<(), AuthError> {
        // One that is no string says nothing.
        if members.json("token_type").is_none_or(|json| !json.starts_with('"')) {
            return Ok(());
        }
        let text = members.string("token_type").unwrap_or_default();
        let found = text.trim();
        let mut accepted = ["Bearer"].into_iter().chain(self.token_types.iter().map(|accepted| accepted.trim()));
        if accepted.any(|accepted| found.eq_ignore_ascii_case(accepted)) {
            return Ok(());
        }
        self.hide_token(members);
        let shown = if self.is_shown(found, "-._~:/?#[]@!$&'()*+,;=%") { format!(" ({found})") } else { String::new() };
        Err(malformed(format!(
            "the token_type of the token response is not Bearer{shown}; if such a token is sent like a bearer token, name it in \
             `accept_token_type`"
        )))
    }

    /// An error of section 5.2, or what stands in its place.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, members: Option<&Members<'_>>) -> AuthError {
        let code = members.and_then(|members| members.string("error")).filter(|code| is_code(code));
        let code = code.as_deref().map(String::as_str);
        let number = status.as_u16();
        let coding = self.coding(headers).filter(|_| members.is_none() && status.is_client_error());
        let message = match kind(status, code) {
            ErrorKind::Malformed if status.is_redirection() => self.redirect(number, headers),
            ErrorKind::Malformed => format!("the token endpoint answered {number}, which has no meaning here"),
            _ if status.is_success() => format!("the authorization server answered {number} with an error"),
            ErrorKind::Denied => format!("the authorization server refused the token request ({number})"),
            _ if code.is_some() || is_busy(status) => {
                format!("the authorization server cannot serve the token request ({number})")
            }
            _ if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => format!(
                "a proxy on the way to the token endpoint asks for credentials ({number}); set `proxy_credentials` of \
                 `HttpsClientBuilder`"
            ),
            _ => format!(
                "the token endpoint answered {number} without an OAuth 2.0 error code: check the token URL, and proxies and \
                 firewalls on the way"
            ),
        };
        let message = coding
            .map_or(message, |coding| format!("the token endpoint answered {number}, with {}", unreadable(&coding)));
        let mut error = AuthError::new(kind(status, code), message);
        if let Some(code) = code.filter(|code| is_known(code) || self.echo.is_clean_code(code)) {
            error = error.with_oauth_error(code);
        }
        let description = members.and_then(|members| members.string("error_description"));
        match description.filter(|text| is_description(text) && self.echo.is_clean(text)) {
            Some(description) => error.with_oauth_error_description(&description),
            None => error,
        }
    }

    fn redirect(&self, number: u16, headers: &HeaderMap) -> String {
        let location = headers.get(LOCATION).map(|location| String::from_utf8_lossy(location.as_bytes()));
        let location = location.as_deref().unwrap_or_default();
        // RFC 3986, section 4.2: a reference may lack the scheme, or the server too.
        let url = if location.starts_with("//") { format!("https:{location}") } else { location.to_owned() };
        let is_path =
            !location.is_empty() && url.split(['/', '?', '#']).next().is_none_or(|start| !start.contains(':'));
        let origin = url.parse().ok().and_then(|url: Uri| Origin::of(&url)).map(|origin| origin.to_string());
        let target = match origin.filter(|origin| self.echo.is_clean(origin)) {
            Some(origin) => format!(" to {origin} ({number})"),
            None if is_path => format!(" ({number}) to another path of the same server"),
            None => format!(" ({number})"),
        };
        format!(
            "the token endpoint redirects{target}, and redirects are not followed; use the URL behind it as the token URL"
        )
    }

    fn not_json(&self, headers: &HeaderMap) -> AuthError {
        match self.coding(headers) {
            Some(coding) => malformed(format!("the token response has {}", unreadable(&coding))),
            None => malformed("the token response is not a JSON object (RFC 6749, section 5.1); check the token URL"),
        }
    }

    /// The content coding, if it may be shown and is one.
    fn coding(&self, headers: &HeaderMap) -> Option<String> {
        let codings = headers.get_all(CONTENT_ENCODING).iter().filter_map(|coding| coding.to_str().ok());
        let codings = codings.map(str::trim).collect::<Vec<_>>().join(", ");
        (self.is_shown(&codings, "-_.+*, ") && !codings.eq_ignore_ascii_case("identity")).then_some(codings)
    }

    /// Whether an error may quote this text: letters, digits and these characters, at most 64, and no credential.
    fn is_shown(&self, text: &str, others: &str) -> bool {
        (1..=MAX_SHOWN).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
            && self.echo.is_clean(text)
    }
}

/// What a status means together with an error code.
fn kind(status: StatusCode, code: Option<&str>) -> ErrorKind {
    match code {
        _ if is_busy(status) => ErrorKind::Unavailable,
        Some(code) if TROUBLES.contains(&code) => ErrorKind::Unavailable,
        _ if !status.is_success() && !status.is_client_error() => ErrorKind::Malformed,
        Some(code) if REFUSALS.contains(&code) => ErrorKind::Denied,
        None if status == StatusCode::UNAUTHORIZED => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    }
}

fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// Whether there is an error: some servers always send the member, and an empty one where all is well. Its text may repeat
/// a credential, so it is read into memory that is wiped.
fn has_error(members: &Members<'_>) -> bool {
    members.json("error").is_some_and(|json| match json.as_bytes() {
        [b'"', ..] => members.string("error").is_none_or(|text| !text.trim().is_empty()),
        [b'[' | b'{', inner @ .., _] => !inner.trim_ascii().is_empty(),
        _ => json != "false" && !json.parse().is_ok_and(|number: f64| number == 0.0),
    })
}

fn is_code(text: &str) -> bool {
    (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Whether the code is of a standard: it says nothing about a secret that happens to look like it.
fn is_known(code: &str) -> bool {
    REFUSALS.contains(&code) || TROUBLES.contains(&code)
}

/// RFC 6749, appendix A.8: printable ASCII but for quote and backslash.
fn is_description(text: &str) -> bool {
    (1..=MAX_DESCRIPTION).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte))
}

/// `scope` as a string; some servers send a list.
fn scope(members: &Members<'_>) -> Option<Zeroizing<String>> {
    members.string("scope").or_else(|| strings(members.json("scope")?))
}

/// `expires_in` in seconds, as a positive number or a decimal string; and whether it is there but unusable.
fn lifetime(json: Option<&str>) -> (Option<Duration>, bool) {
    let Some(json) = json else {
        return (None, false);
    };
    let seconds = scalar(json).and_then(|text| {
        // `parse` alone would read "inf" and "nan".
        let is_decimal = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        Some(text.trim()).filter(is_decimal)?.parse::<f64>().ok()
    });
    let lifetime = seconds.filter(|seconds| *seconds > 0.0).map(|seconds| seconds.min(MAX_LIFETIME));
    let lifetime =
        lifetime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|time| !time.is_zero());
    (lifetime, lifetime.is_none())
}

/// What is wrong with a content coding.
fn unreadable(coding: &str) -> String {
    format!(
        "the content coding {coding}, although `identity` was asked for; put a decompression layer into `transport`"
    )
}

fn malformed(message: impl Into<Cow<'static, str>>) -> AuthError {
    AuthError::new(ErrorKind::Malformed, message)
}

/// RFC 6749, section 5.2.
const REFUSALS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];
/// Codes of other standards (RFC 6749, section 4.1.2.1; RFC 8628, section 3.5) that servers use here too.
const TROUBLES: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];
/// What a token has accessors for, and tokens for other purposes.
const STANDARD_MEMBERS: [&str; 6] = ["access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"];
/// Ten years, in seconds.
const MAX_LIFETIME: f64 = 10.0 * 365.0 * 86_400.0;
const MAX_CODE: usize = 32;
const MAX_DESCRIPTION: usize = 512;
const MAX_SHOWN: usize = 64;

//! What a discovery document says (RFC 8414, section 2): pure functions of its text.

use serde_json::Value;

use crate::{
    error::{AuthError, ErrorKind},
    oauth::{ClientAuth, assertion_file::json_of, members::Members},
};

/// What is looked for in a document: the settings of a grant that it may exclude.
pub(in crate::oauth) struct Wanted {
    pub(in crate::oauth) grant_type: String,
    /// `None` with an assertion.
    pub(in crate::oauth) client_auth: Option<ClientAuth>,
}

/// What was found.
pub(in crate::oauth) struct Document {
    pub(super) token_endpoint: String,
    /// `token_endpoint_auth_signing_alg_values_supported`; `None` where nothing is said.
    algorithms: Option<Vec<String>>,
}

impl Document {
    /// Reads the document of this issuer.
    pub(super) fn parse(body: &[u8], issuer: &str, wanted: &Wanted) -> Result<Self, AuthError> {
        let members = Members::parse(body).ok_or_else(|| malformed(NOT_JSON))?;
        let text = |members: &Members<'_>, name| members.string(name).map(|text| text.to_string());
        match text(&members, "issuer") {
            Some(found) if found == issuer => {}
            found => return Err(another_issuer(issuer, &found.unwrap_or_default())),
        }
        let alias = || text(&Members::parse(members.json("mtls_endpoint_aliases")?.as_bytes())?, "token_endpoint");
        let uses_certificate = wanted.client_auth == Some(ClientAuth::Certificate);
        let endpoint = uses_certificate.then(alias).flatten().or_else(|| text(&members, "token_endpoint"));
        let token_endpoint = endpoint.ok_or_else(|| malformed(NO_ENDPOINT))?;
        check_method(&members, wanted.client_auth)?;
        check_grant_type(&members, &wanted.grant_type)?;
        let algorithms = list(&members, "token_endpoint_auth_signing_alg_values_supported");
        Ok(Self { token_endpoint, algorithms })
    }

    /// Refuses an assertion whose algorithm is not listed. One that is no JWT has none.
    pub(in crate::oauth) fn check_algorithm(&self, assertion: &str) -> Result<(), AuthError> {
        let header = assertion.split_once('.').and_then(|(header, _)| json_of(header));
        let algorithm = header.as_ref().and_then(|header| Members::parse(header)?.string("alg"));
        let (Some(algorithm), Some(listed)) = (algorithm, &self.algorithms) else {
            return Ok(());
        };
        // The newer name of the same (RFC 9864).
        let names = if *algorithm == "EdDSA" { vec!["EdDSA", "Ed25519"] } else { vec![algorithm.as_str()] };
        if listed.iter().any(|listed| names.contains(&listed.as_str())) {
            return Ok(());
        }
        let ours = shown(std::slice::from_ref(&*algorithm), &ALGORITHMS);
        Err(AuthError::config(format!(
            "the assertion is signed with {ours}, and the authorization server supports {} \
             (token_endpoint_auth_signing_alg_values_supported); use one of these",
            shown(listed, &ALGORITHMS)
        )))
    }
}

fn check_method(members: &Members<'_>, client_auth: Option<ClientAuth>) -> Result<(), AuthError> {
    let Some(listed) = list(members, "token_endpoint_auth_methods_supported") else {
        return Ok(());
    };
    let (ours, is_ours): (_, fn(&str) -> bool) = match client_auth {
        Some(ClientAuth::Body) => ("`client_auth` with ClientAuth::Body", |name| name == "client_secret_post"),
        Some(ClientAuth::Basic) => ("`client_auth` with ClientAuth::Basic", |name| name == "client_secret_basic"),
        Some(ClientAuth::BasicUnencoded) => {
            ("`client_auth` with ClientAuth::BasicUnencoded", |name| name == "client_secret_basic")
        }
        Some(ClientAuth::Certificate) => ("`client_auth` with ClientAuth::Certificate", |name| {
            matches!(name, "tls_client_auth" | "self_signed_tls_client_auth")
        }),
        // Which method an assertion belongs to, nobody but its source knows; those without any are known.
        None => ("`client_assertion`", |name| !WITHOUT_ASSERTION.contains(&name)),
    };
    if listed.iter().any(|name| is_ours(name)) {
        return Ok(());
    }
    let offered = shown(&listed, &METHODS);
    Err(AuthError::config(format!(
        "{ours}: the authorization server does not support it, only {offered} (token_endpoint_auth_methods_supported)"
    )))
}

fn check_grant_type(members: &Members<'_>, grant_type: &str) -> Result<(), AuthError> {
    let Some(listed) = list(members, "grant_types_supported") else {
        return Ok(());
    };
    if listed.iter().any(|listed| listed == grant_type) {
        return Ok(());
    }
    let offered = shown(&listed, &GRANT_TYPES);
    Err(AuthError::config(format!(
        "`grant_type` {grant_type:?}: the authorization server does not support it, only {offered} (grant_types_supported)"
    )))
}

/// A list of strings; `None` if it is missing, or has no strings.
fn list(members: &Members<'_>, name: &str) -> Option<Vec<String>> {
    let values: Vec<Value> = serde_json::from_str(members.json(name)?).ok()?;
    let texts: Vec<_> = values.into_iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    (!texts.is_empty()).then_some(texts)
}

/// The names of a list that this crate knows: no error repeats what else a server may write.
fn shown(listed: &[impl AsRef<str>], known: &[&str]) -> String {
    let listed = || listed.iter().map(AsRef::as_ref);
    let mut names: Vec<_> = known.iter().copied().filter(|known| listed().any(|name| name == *known)).collect();
    if listed().any(|name| !known.contains(&name)) {
        names.push("others");
    }
    names.join(", ")
}

fn another_issuer(issuer: &str, found: &str) -> AuthError {
    let differs_in_slash = found.trim_end_matches('/') == issuer.trim_end_matches('/') && !found.is_empty();
    let help = match (differs_in_slash, found.ends_with('/')) {
        (true, true) => "; this server's issuer has a final slash",
        (true, false) => "; this server's issuer has no final slash",
        (false, _) => "",
    };
    malformed(format!(
        "the discovery document is not of the issuer {issuer:?}: its `issuer` must be the same, character for character{help}"
    ))
}

fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> AuthError {
    AuthError::new(ErrorKind::Malformed, message)
}

pub(super) const NO_ENDPOINT: &str = "the discovery document has no token_endpoint that is a URL; name the token URL with `ClientCredentialsGrant::builder`";
const NOT_JSON: &str = "the discovery document is not a JSON object (RFC 8414, section 3.2); check the issuer";
/// Methods of the registry that no assertion belongs to.
const WITHOUT_ASSERTION: [&str; 5] =
    ["none", "client_secret_basic", "client_secret_post", "tls_client_auth", "self_signed_tls_client_auth"];
const METHODS: [&str; 8] = [
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "spiffe_jwt",
    "none",
];
const ALGORITHMS: [&str; 15] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256",
    "HS384", "HS512", "none",
];
const GRANT_TYPES: [&str; 6] = [
    "authorization_code",
    "client_credentials",
    "implicit",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
];

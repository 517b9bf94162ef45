//! What servers are known to do, and for which of it the guide names a setting: the rows of its tables.

use http::StatusCode;
use tower_outbound_auth::oauth::ClientAuth;

use super::{
    server::{Login, Said, USUAL, said},
    user::Setting,
};
use crate::support::secrets::SECRET;

/// A client whose id and secret form-encoding changes.
pub(crate) const AWKWARD: (&str, &str) = ("client+1", SECRET);

/// Where a server looks for id and secret, in words, and who does so.
pub(crate) const LOGINS: &[(Login, &str, &str)] = &[
    (Login::Form, "reads the form", "[LinkedIn], [PayNet]"),
    (Login::DecodedBasic, "decodes `Basic`", "[Keycloak 20][keycloak-20], [PingAM], [Spring]"),
    (
        Login::RawBasic,
        "does not decode `Basic`",
        "[Keycloak 16][keycloak-16], [oauth2-server-php], [Spring Security OAuth]",
    ),
];

pub(crate) const METHODS: [ClientAuth; 3] = [ClientAuth::Body, ClientAuth::Basic, ClientAuth::BasicUnencoded];

/// What an unknown client is told, and whether the other `Basic` may help.
pub(crate) const REFUSALS: &[(Said, bool)] = &[
    (said(400, &[], r#"{"error":"invalid_client"}"#), true),
    (said(400, &[], r#"{"error":"unauthorized_client"}"#), true),
    (said(401, &["Basic"], r#"{"error":"access_denied"}"#), true),
    (said(401, &[], "<html>"), true),
    (said(403, &[], ""), true),
    (said(200, &[], r#"{"error":"invalid_client"}"#), true),
    (said(400, &[], r#"{"error":"invalid_scope"}"#), false),
    (said(400, &[], ""), false),
    (said(403, &[], r#"{"error":"access_denied"}"#), false),
    (said(404, &[], ""), false),
    (said(503, &[], r#"{"error":"invalid_client"}"#), false),
    (said(200, &[], "{}"), false),
];

/// What a wrong secret is told by, in words, and by whom.
pub(crate) const WRONG: &[(Said, &str, &str)] = &[
    (said(400, &[], r#"{"error":"invalid_client"}"#), "400, `invalid_client`", "[RFC 6749][refusals]"),
    (USUAL.refusal, "401, `invalid_client`, a challenge", "[RFC 6749][refusals]"),
    (said(401, &[], r#"{"error":"invalid_client"}"#), "401, `invalid_client`, no challenge", "[Spring][spring-401]"),
    (said(401, &[], r#"{"error":"unauthorized_client"}"#), "401, `unauthorized_client`", "[Keycloak][keycloak-16]"),
    (said(401, &[], ""), "401, no body", ""),
    (said(200, &[], r#"{"error":"invalid_client"}"#), "200, `invalid_client`", ""),
];

const BEARER: &str = r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":3600}"#;

/// A grant, how it differs, who gives such, and what makes it work.
pub(crate) const GRANTS: &[(&str, &str, &str, Setting)] = &[
    (BEARER, "`\"Bearer\"`, a number", "[RFC 6749][grants]", Setting::Nothing),
    (
        r#"{"access_token":"TOKEN","token_type":"bearer","expires_in":3600}"#,
        "`\"bearer\"`",
        "[Taboola]",
        Setting::Nothing,
    ),
    (r#"{"access_token":"TOKEN","expires_in":3600}"#, "no `token_type`", "[LinkedIn]", Setting::Nothing),
    (
        r#"{"access_token":"TOKEN","token_type":"BearerToken","expires_in":"3600"}"#,
        "`\"BearerToken\"`",
        "[Apigee]",
        Setting::AcceptTokenType("bearertoken"),
    ),
    (
        r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":"3600"}"#,
        "`expires_in` in quotes",
        "[Azure AD 1.0], [LinkedIn]",
        Setting::Nothing,
    ),
    (
        r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":3599.5}"#,
        "`expires_in` with a fraction",
        "[Reddit]",
        Setting::Nothing,
    ),
    (r#"{"access_token":"TOKEN","token_type":"Bearer"}"#, "no `expires_in`", "[Salesforce]", Setting::DefaultLifetime),
];

const THREE_CHALLENGES: &[&str] = &["Negotiate", "NTLM", r#"Bearer realm="api", error="invalid_token""#];
const THREE_IN_ONE: &[&str] = &[r#"Negotiate, NTLM, Bearer realm="api", error="invalid_token""#];
const FORBIDDEN: Setting = Setting::RejectWhen(|status| status == StatusCode::FORBIDDEN);

/// What a revoked token is answered with, in words, by whom, and what is the remedy.
pub(crate) const REJECTIONS: &[(Said, &str, &str, Setting)] = &[
    (said(401, &[], ""), "401, no challenge", "[Auth0 for Spring]", Setting::Nothing),
    (said(401, &["Bearer"], ""), "401, `Bearer`", "[RFC 6750][challenges]", Setting::Nothing),
    (
        said(401, &[r#"bearer error="invalid_token""#], ""),
        "401, `bearer error=\"invalid_token\"`",
        "[RFC 6750][challenges]",
        Setting::Nothing,
    ),
    (said(401, THREE_CHALLENGES, ""), "401, three challenges", "", Setting::Nothing),
    (said(401, THREE_IN_ONE, ""), "401, three challenges in one header", "[Microsoft]", Setting::Nothing),
    (
        said(401, &[r#"bearer error="token_expired""#], ""),
        "401, `bearer error=\"token_expired\"`",
        "",
        Setting::Nothing,
    ),
    (said(403, &[], ""), "403, no challenge", "[AWS API Gateway]", FORBIDDEN),
    (
        said(400, &[], r#"{"message":"Access to this resource is forbidden"}"#),
        "400, a message",
        "[PayNet]",
        Setting::RejectionLayer,
    ),
    (
        said(400, &[], r#"{"error":{"type":"OAuthException","code":190}}"#),
        "400, a code in JSON",
        "[Facebook]",
        Setting::ReadBodies,
    ),
    (
        said(200, &[], r#"{"ok":false,"error":"token_revoked"}"#),
        "200, an error in JSON",
        "[Slack]",
        Setting::ReadBodies,
    ),
];

//! What servers are known to do, and for which of it the guide names a setting: the rows of its tables.

use http::StatusCode;
use tower_outbound_auth::oauth::ClientAuth;

use super::{
    server::{Habits, Login, Said, USUAL, said},
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

/// What a token request must be like, in words, for whom, and what makes it so.
pub(crate) const REQUESTS: &[(Habits, &str, &str, Setting)] = &[
    (
        Habits { fields: &[("grant_type", "account_credentials")], ..USUAL },
        "another `grant_type`",
        "[Zoom]",
        Setting::GrantType("account_credentials"),
    ),
    (
        Habits { fields: &[("account_id", "17")], ..USUAL },
        "an additional parameter",
        "[Zoom]",
        Setting::Param("account_id", "17"),
    ),
    (Habits { fields: &[("scope", "api/.default")], ..USUAL }, "`scope`", "[Entra]", Setting::Scope("api/.default")),
    (
        Habits { fields: &[("audience", "https://api.example.com/")], ..USUAL },
        "`audience`",
        "[Auth0]",
        Setting::Audience("https://api.example.com/"),
    ),
    (
        Habits { fields: &[("resource", "https://api.example.com/")], ..USUAL },
        "`resource`",
        "[Azure AD 1.0], [RFC 8707]",
        Setting::Resource("https://api.example.com/"),
    ),
    (Habits { login: Login::Json, ..USUAL }, "a JSON body", "", Setting::JsonBody),
    (Habits { login: Login::Headers, ..USUAL }, "id and secret in headers", "", Setting::CredentialsInHeaders),
    (Habits { login: Login::BasicAndForm, ..USUAL }, "`client_id` beside `Basic`", "", Setting::ClientIdBesideBasic),
    (
        Habits { headers: &[("user-agent", "reports/2.1")], ..USUAL },
        "a `User-Agent` that it knows",
        "",
        Setting::Header("user-agent", "reports/2.1"),
    ),
];

/// Where an API looks for the token, in words, and which API.
pub(crate) const HEADERS: &[(&str, &str, &str, &str, Setting)] = &[
    (
        "authorization",
        "Token ",
        "`Authorization: Token abc`",
        "[Django REST framework]",
        Setting::TokenHeader("authorization", "Token"),
    ),
    (
        "authorization",
        "Zoho-oauthtoken ",
        "`Authorization: Zoho-oauthtoken abc`",
        "[Zoho]",
        Setting::TokenHeader("authorization", "Zoho-oauthtoken"),
    ),
    ("authorization", "", "`Authorization: abc`", "", Setting::TokenHeader("authorization", "")),
    (
        "x-shopify-access-token",
        "",
        "`X-Shopify-Access-Token: abc`",
        "[Shopify]",
        Setting::TokenHeader("x-shopify-access-token", ""),
    ),
    ("x-access-token", "", "`X-Access-Token: abc`", "", Setting::TokenHeader("x-access-token", "")),
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

//! `ClientCredentialsGrant::discover`: whatever a server sends, credentials go to the token endpoint of the right document,
//! over https, and nowhere else.

use std::{
    future::ready,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::LOCATION};
use http_body_util::Full;
use tower_outbound_auth::{
    AuthError, BoxError, Credentials,
    ErrorKind::{Config, Malformed, Unavailable},
    oauth::{ClientAuth, ClientCredentialsGrant},
    token::{FetchRequest, TokenSource},
};

use crate::{
    drive::{Limits, drive},
    input::Input,
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let method = input.pick(&[ClientAuth::Body, ClientAuth::Basic, ClientAuth::Certificate]);
    if input.below(4) == 0 {
        wild(&mut input, method);
    } else {
        well_formed(&mut input, method);
    }
}

/// Any bytes: without the issuer and a URL in them, no credential goes anywhere.
fn wild(input: &mut Input<'_>, method: ClientAuth) {
    let mut body = input.some_bytes().to_vec();
    if input.one_in(3) {
        let known = format!("{{\"issuer\":\"{ISSUER}\",\"token_endpoint\":\"{TOKEN}\"}}");
        let at = input.below(known.len());
        body = [&known.as_bytes()[..at], &body, &known.as_bytes()[at..]].concat();
    }
    let length = input.pick(&[0, 0, 0, 0, LONGEST, LONGEST + 1]);
    body.resize(length.max(body.len()), b' ');
    let status = input.pick(&[200, 200, 200, 404, 403, 500, 302, 204, 101]);
    let (result, posted) = fetch(method, status, &body, "");
    let text = String::from_utf8_lossy(&body);
    if let Some(url) = posted {
        assert!(text.contains("issuer") && (200..300).contains(&status) && body.len() <= LONGEST, "{url}: {text}");
        assert!(url.starts_with("https://"), "{url}: {text}");
    } else {
        assert!(result.is_err(), "a token without a request");
    }
}

/// A document whose meaning is known, behind a redirect whose meaning is known.
fn well_formed(input: &mut Input<'_>, method: ClientAuth) {
    let (issuer, is_ours) = input.pick(&ISSUERS);
    let (endpoint, is_good) = input.pick(&ENDPOINTS);
    let (alias, alias_is_good) = input.pick(&ENDPOINTS);
    let (has_alias, uses_alias) = (input.one_in(3), method == ClientAuth::Certificate);
    let (methods, excluded) = list(input, &METHODS, method_name(method));
    let (grants, excluded_grant) = list(input, &GRANTS, "client_credentials");
    let mut members = vec![
        format!("\"issuer\":{issuer}"),
        format!("\"token_endpoint\":{endpoint}"),
        format!("\"token_endpoint_auth_methods_supported\":{methods}"),
        format!("\"grant_types_supported\":{grants}"),
    ];
    if has_alias {
        members.push(format!("\"mtls_endpoint_aliases\":{{\"token_endpoint\":{alias}}}"));
    }
    let start = input.below(members.len());
    members.rotate_left(start);
    let (target, stays) = if input.one_in(4) { input.pick(&TARGETS) } else { ("", true) };
    let (result, posted) = fetch(method, 200, format!("{{{}}}", members.join(",")).as_bytes(), target);
    let (used, used_is_good) =
        if has_alias && uses_alias && alias.starts_with('"') { (alias, alias_is_good) } else { (endpoint, is_good) };
    let expected = match (stays, is_ours, excluded || excluded_grant) {
        (false, ..) | (_, false, _) => Err(Malformed),
        _ if !used.starts_with('"') => Err(Malformed),
        (.., true) => Err(Config),
        _ if !used_is_good => Err(Malformed),
        _ => Ok(used.trim_matches('"')),
    };
    match expected {
        Ok(url) => {
            assert_eq!(posted.as_deref(), Some(url), "{result:?} {members:?}");
            result.expect("a token");
        }
        Err(kind) => {
            assert_eq!((posted, result.map_err(|error| error.kind())), (None, Err(kind)), "{members:?} {target}");
        }
    }
}

/// Fetches a token. Returns the URL that the credentials went to.
fn fetch(
    method: ClientAuth,
    status: u16,
    body: &[u8],
    redirect: &'static str,
) -> (Result<(), AuthError>, Option<String>) {
    let posted = Arc::new(Mutex::new(None));
    let (kept, body) = (Arc::clone(&posted), Bytes::copy_from_slice(body));
    let transport = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let mut response = Response::new(Full::new(body.clone()));
        if request.method() == Method::POST {
            *kept.lock().expect("not poisoned") = Some(request.uri().to_string());
            response = Response::new(Full::new(Bytes::from_static(br#"{"access_token":"t"}"#)));
        } else if !redirect.is_empty() && request.uri().path() != "/document" {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(LOCATION, redirect.parse().expect("a header"));
        } else {
            let host = request.uri().host().map(str::to_ascii_lowercase);
            assert_eq!(host.as_deref(), Some("login.example.com"), "{}", request.uri());
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        }
        ready(Ok::<_, BoxError>(response))
    });
    let secret = if method == ClientAuth::Certificate { "" } else { "s3cr3t" };
    let builder = ClientCredentialsGrant::discover(ISSUER, Credentials::new("fuzz", secret)).client_auth(method);
    let grant = builder.transport(transport).build().expect("the settings are valid");
    let result = drive(LIMITS, grant.fetch(FetchRequest::new())).map(drop);
    if let Err(error) = &result {
        assert!([Config, Malformed, Unavailable].contains(&error.kind()), "{error}");
        let line = error.to_string();
        assert!(line.len() < 400 && !line.contains('\n') && !line.contains("pLaNtEd"), "{line}");
    }
    let posted = posted.lock().expect("not poisoned").take();
    (result, posted)
}

/// A list as JSON, and whether it excludes this name.
fn list(input: &mut Input<'_>, names: &[&str], ours: &str) -> (String, bool) {
    if input.one_in(3) {
        return (input.pick(&["null", "[]", "{}", "5", "[5]", "[null,{}]", "\"none\""]).to_owned(), false);
    }
    let chosen: Vec<_> = (0..=input.below(4)).map(|_| input.pick(names)).collect();
    let fits = |name: &&str| *name == ours || ours == "tls_client_auth" && *name == "self_signed_tls_client_auth";
    (
        format!("[{}]", chosen.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",")),
        !chosen.iter().any(fits),
    )
}

fn method_name(method: ClientAuth) -> &'static str {
    match method {
        ClientAuth::Body => "client_secret_post",
        ClientAuth::Basic => "client_secret_basic",
        _ => "tls_client_auth",
    }
}

const ISSUER: &str = "https://login.example.com/a";
const TOKEN: &str = "https://login.example.com/token";
const LONGEST: usize = 64 * 1024;
/// As JSON, and whether it is the one.
const ISSUERS: [(&str, bool); 8] = [
    ("\"https://login.example.com/a\"", true),
    ("\"https:\\/\\/login.example.com\\/a\"", true),
    ("\"https://login.example.com/\\u0061\"", true),
    ("\"https://login.example.com/a/\"", false),
    ("\"https://login.example.com/A\"", false),
    ("\"pLaNtEd\"", false),
    ("null", false),
    ("[\"https://login.example.com/a\"]", false),
];
/// As JSON, and whether credentials may go there.
const ENDPOINTS: [(&str, bool); 12] = [
    ("\"https://login.example.com/token\"", true),
    ("\"https://other.example/x?y=z\"", true),
    ("\"https://login.example.com:8443/t\"", true),
    ("\"http://login.example.com/pLaNtEd\"", false),
    ("\"http://127.0.0.1/pLaNtEd\"", false),
    ("\"https://pLaNtEd@login.example.com/\"", false),
    ("\"ftp://login.example.com/pLaNtEd\"", false),
    ("\"/pLaNtEd\"", false),
    ("\"\"", false),
    ("null", false),
    ("5", false),
    ("[\"https://login.example.com/token\"]", false),
];
/// Where a redirect leads to, and whether that is within the origin.
const TARGETS: [(&str, bool); 10] = [
    ("/document", true),
    ("https://login.example.com/document", true),
    ("https://LOGIN.example.com:443/document", true),
    ("https://evil.example/document", false),
    ("//evil.example/document", false),
    ("http://login.example.com/document", false),
    ("https://login.example.com:444/document", false),
    ("https://a@login.example.com/document", false),
    ("document", false),
    ("/again", false),
];
const METHODS: [&str; 6] = [
    "client_secret_post",
    "client_secret_basic",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "private_key_jwt",
    "pLaNtEd",
];
const GRANTS: [&str; 4] = ["client_credentials", "authorization_code", "pLaNtEd", "implicit"];
const LIMITS: Limits = Limits { polls: 100, bytes: 512 * 1024 };

//! Documents and redirects that would lead credentials astray, or a client into trouble.

use super::*;

fn redirect(to: &str) -> Response<Full<Bytes>> {
    reply(302, &[(LOCATION, to)], "")
}

#[tokio::test(start_paused = true)]
async fn o2_redirects_are_followed_within_the_origin_only() {
    let web = Web::new();
    for within in ["/redirect", "https://login.example.com/redirect", "https://login.example.com:443/redirect"] {
        web.put(OAUTH, redirect(within)).put_json("https://login.example.com/redirect", &document());
        web.put_json("https://login.example.com:443/redirect", &document());
        web.fetch().await.unwrap_or_else(|error| panic!("{within}: {error}"));
        web.asked();
    }
    for away in [
        "https://evil.example/redirect",
        "//evil.example/redirect",
        "http://login.example.com/redirect",
        "https://login.example.com:444/redirect",
        "https://login.example.com@evil.example/redirect",
        "https://evil@login.example.com/redirect",
        "https://login.example.com.evil.example/redirect",
        "redirect",
        "\\\\evil.example",
        "javascript:alert(1)",
        "",
    ] {
        web.put(OAUTH, redirect(away));
        let error = web.fetch().await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Malformed && error.to_string().contains("such redirects are not followed"),
            "{away}: {error}"
        );
        assert_eq!(web.asked(), [OAUTH], "{away}");
    }
    web.put(OAUTH, reply(302, &[], ""));
    assert_eq!(web.fetch().await.unwrap_err().kind(), ErrorKind::Malformed);
    web.asked();
    web.put(OAUTH, redirect("/.well-known/oauth-authorization-server/realms/bank"));
    let error = web.fetch().await.unwrap_err();
    assert!(error.to_string().contains("more than 3 redirects"), "{error}");
    assert_eq!(web.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn o2_a_token_endpoint_that_credentials_must_not_go_to_gets_none() {
    for endpoint in [
        json!("http://login.example.com/token"),
        json!("http://127.0.0.1:8080/token"),
        json!("http://localhost/token"),
        json!("https://user:password@login.example.com/token"),
        json!("/token"),
        json!("//login.example.com/token"),
        json!("ftp://login.example.com/token"),
        json!("file:///etc/passwd"),
        json!("https://login.example.com:99999/token"),
        json!("https://"),
        json!(""),
        json!(null),
        json!(["https://login.example.com/token"]),
        json!({ "url": TOKEN }),
    ] {
        let web = Web::new();
        web.put_json(OAUTH, &with("token_endpoint", endpoint.clone()));
        let error = web.fetch().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{endpoint}: {error}");
        assert!(!error.to_string().contains("password"), "{error}");
        assert_eq!(web.asked(), [OAUTH], "{endpoint}");
    }
    // On this machine, plain http is as safe as for a token URL; beyond it, with permission.
    let local = "http://127.0.0.1:8080";
    let web = Web::new();
    let token = format!("{local}/token");
    web.put(&token, reply(200, &[], GOOD)).put_json(
        &format!("{local}/.well-known/openid-configuration"),
        &json!({ "issuer": local, "token_endpoint": token }),
    );
    fetch(&web.builder_of(local).build().unwrap()).await.unwrap();
    let plain = "http://login.example.com/token";
    let web = Web::new();
    web.put(plain, reply(200, &[], GOOD)).put_json(OAUTH, &with("token_endpoint", json!(plain)));
    fetch(&web.builder().allow_insecure_http().build().unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn o3_a_document_of_any_kind_does_no_harm() {
    let long = format!("{}{}", document(), " ".repeat(64 * 1024));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, kind) in [
        (long, ErrorKind::Malformed),
        (deep.clone(), ErrorKind::Malformed),
        ("[]".to_owned(), ErrorKind::Malformed),
        ("null".to_owned(), ErrorKind::Malformed),
        ("{\"issuer\":".to_owned(), ErrorKind::Malformed),
        ("\u{feff}".to_owned(), ErrorKind::Malformed),
    ] {
        let web = Web::new();
        web.put(OAUTH, reply(200, &[], body.clone()));
        let error = web.fetch().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{body:.60}: {error}");
        assert!(error.to_string().len() < 300, "{error}");
    }
    let web = Web::new();
    let nested = format!("{{\"issuer\":\"{ISSUER}\",\"token_endpoint\":\"{TOKEN}\",\"x\":{deep}}}");
    web.put(OAUTH, reply(200, &[], nested));
    web.fetch().await.unwrap();
    web.put(OAUTH, reply(200, &[], format!("\u{feff}{}", with("scopes_supported", Value::from(vec!["a"; 500])))));
    web.fetch().await.unwrap();
    for busy in [500, 502, 503, 429] {
        web.put(OAUTH, reply(busy, &[(http::header::RETRY_AFTER, "7")], ""));
        let error = web.fetch().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_after()),
            (ErrorKind::Unavailable, Some(Duration::from_secs(7))),
            "{busy}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_gone_for_good_does_not_make_a_storm() {
    let web = Web::new();
    web.put_json(OAUTH, &document()).remove(TOKEN);
    let layer = AuthLayer::builder(web.builder().build().unwrap()).any_origin().build().unwrap();
    let error = layer.handle().token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(web.asked(), [OAUTH, TOKEN].repeat(3), "three attempts");
    layer.handle().token().await.unwrap_err();
    assert!(web.asked().is_empty(), "the backoff");
}

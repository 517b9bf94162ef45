//! The sandbox refuses what PayNet refuses, with the documented messages.

use std::{io::Read, time::Duration};

use flate2::read::GzDecoder;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use tower_outbound_auth::{
    paynet::{X_FIID, X_SIGNATURE, X_TIMESTAMP, signature},
    sandbox::{FIID, Sandbox},
};

use crate::user::{
    DOWNLOAD, Edit, FORBIDDEN, FORM, ORDER, OUT_OF_RANGE, QUERY, TestResult, UNSUPPORTED, User, assert_near, now,
    passed_since, request, set, since_1970, twice, upper_case,
};

#[tokio::test]
async fn a_user_gets_from_a_token_to_a_report_that_is_there_once() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let answer = user.send(user.token_request(FORM)).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!((&answer.json()["token_type"], &answer.json()["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let token = answer.text("access_token");

    assert_eq!(user.send(user.types(&token)).await?.json()["success"], true);
    let report = user.send(user.signed(&token, Method::POST, DOWNLOAD, ORDER)).await?;
    let url = report.json()["data"]["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with(&format!("{}/files/", user.sandbox.download_origin())));
    assert_ne!(user.sandbox.download_origin(), user.sandbox.environment().api_origin());

    assert_eq!(user.send(request(Method::HEAD, &url, "")).await?.status, 405);
    let file = user.send(request(Method::GET, &url, "")).await?;
    assert_eq!((file.status, &file.headers[header::CONTENT_TYPE]), (StatusCode::OK, &"application/gzip".parse()?));
    let mut csv = String::new();
    GzDecoder::new(&file.body[..]).read_to_string(&mut csv)?;
    assert!(csv.starts_with("date,fiid,") && csv.contains("2026-01-31"), "{csv}");
    assert_eq!(user.send(request(Method::GET, &url, "")).await?.status, 410);
    assert_eq!(user.send(request(Method::GET, &format!("{url}x"), "")).await?.status, 404);

    let mut query = user.signed(&token, Method::POST, QUERY, r#"{"query":"{ banks }"}"#);
    query.headers_mut().insert(X_FIID, HeaderValue::from_static(FIID));
    assert!(user.send(query).await?.json()["data"].is_object());
    let seen = user.sandbox.stats();
    assert_eq!((seen.token_requests, seen.api_requests, seen.accepted), (1, 3, 3));
    assert_eq!((seen.rejected, seen.downloads, seen.credentials_leaked, seen.connections), (0, 1, 0, 2));
    Ok(())
}

#[tokio::test]
async fn a_user_learns_what_is_wrong_with_a_token_request() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let forms = [
        ("", 400, "invalid_request"),
        ("grant_type=client_credentials&client_id=client_123456789", 400, "invalid_request"),
        ("grant_type=password&client_id=client_123456789&client_secret=secret_abcdefghijklmnop", 400, UNSUPPORTED),
        ("grant_type=client_credentials&client_id=other&client_secret=secret_abcdefghijklmnop", 401, "invalid_client"),
        ("grant_type=client_credentials&client_id=client_123456789&client_secret=guess", 401, "invalid_client"),
        (&format!("{FORM}&client_id=client_123456789"), 400, "invalid_request"),
        (&format!("{FORM}&scope=a&scope=b"), 400, "invalid_request"),
        (&format!("{FORM}&note=100%"), 400, "invalid_request"),
    ];
    for (form, status, error) in forms {
        let answer = user.send(user.token_request(form)).await?;
        assert_eq!((answer.status.as_u16(), answer.text("error")), (status, error.to_owned()), "{form}");
        assert!(!answer.text("error_description").is_empty());
    }
    let edits: [Edit; 5] = [
        |request| drop(request.headers_mut().remove(header::ACCEPT)),
        |request| set(request, header::ACCEPT, "*/*"),
        |request| drop(request.headers_mut().remove(header::CONTENT_TYPE)),
        |request| set(request, header::CONTENT_TYPE, "application/json"),
        |request| set(request, header::AUTHORIZATION, "Basic Y2xpZW50OnNlY3JldA=="),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let mut request = user.token_request(FORM);
        edit(&mut request);
        let answer = user.send(request).await?;
        assert_eq!((answer.status.as_u16(), answer.text("error")), (400, "invalid_request".to_owned()), "edit {index}");
    }
    assert_eq!(user.sandbox.stats().token_requests, 13);

    let mut with_charset = user.token_request(FORM);
    set(&mut with_charset, header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8");
    assert_eq!(user.send(with_charset).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_secret_with_special_characters_must_be_form_encoded() -> TestResult {
    let user = User::of(Sandbox::builder().credentials("my client", "s&c+r%t=é").start().await?);
    let right = "grant_type=client_credentials&client_id=my+client&client_secret=s%26c%2Br%25t%3D%c3%A9";
    assert_eq!(user.send(user.token_request(right)).await?.status, 200);
    let raw = "grant_type=client_credentials&client_id=my+client&client_secret=s%26c+r%25t%3D%C3%A9";
    assert_eq!(user.send(user.token_request(raw)).await?.text("error"), "invalid_client");
    Ok(())
}

#[tokio::test]
async fn each_documented_rejection_comes_with_its_message() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    let cases: [(Edit, &str); 13] = [
        (|request| drop(request.headers_mut().remove(header::AUTHORIZATION)), FORBIDDEN),
        (|request| set(request, header::AUTHORIZATION, "Bearer unknown"), FORBIDDEN),
        (|request| drop(request.headers_mut().remove(X_FIID)), "X-Fiid is required"),
        (|request| set(request, X_FIID, "OTHER"), FORBIDDEN),
        (|request| drop(request.headers_mut().remove(X_TIMESTAMP)), "Timestamp is required"),
        (|request| drop(request.headers_mut().remove(X_SIGNATURE)), "Signature is required"),
        (|request| set(request, X_TIMESTAMP, "1700000000"), OUT_OF_RANGE),
        (|request| set(request, X_TIMESTAMP, "soon"), OUT_OF_RANGE),
        (|request| set(request, X_TIMESTAMP, &format!("+{}", now())), OUT_OF_RANGE),
        (|request| set(request, X_TIMESTAMP, &format!("0{}", now())), "Invalid signature"),
        (|request| set(request, X_SIGNATURE, &signature(&now().to_string(), "guess")), "Invalid signature"),
        (|request| upper_case(request, X_SIGNATURE), "Invalid signature"),
        (|request| twice(request, X_SIGNATURE), "the header x-signature was sent twice"),
    ];
    for (index, (edit, message)) in cases.into_iter().enumerate() {
        let mut request = user.signed(&token, Method::POST, QUERY, r#"{"query":"{ banks }"}"#);
        set(&mut request, X_FIID, FIID);
        edit(&mut request);
        let answer = user.send(request).await?;
        assert_eq!((answer.status.as_u16(), answer.text("message")), (400, message.to_owned()), "case {index}");
        assert_eq!(user.sandbox.stats().rejected, index as u64 + 1);
    }
    for name in [header::AUTHORIZATION, X_TIMESTAMP] {
        let mut request = user.types(&token);
        twice(&mut request, name.clone());
        assert_eq!(user.send(request).await?.text("message"), format!("the header {name} was sent twice"));
    }
    assert_eq!(user.sandbox.stats().accepted, 0);
    Ok(())
}

#[tokio::test]
async fn the_signature_is_the_one_of_the_vendors_sample_code() -> TestResult {
    let user = User::of(Sandbox::builder().timestamp_window(Duration::MAX).start().await?);
    let mut request = user.types(&user.token().await?);
    set(&mut request, X_TIMESTAMP, "1700000000");
    set(&mut request, X_SIGNATURE, "8df6e1bcd4489b0be9f8a98dd01785727fde8a3d07c1b791690e9eb12dd3b8e6");
    assert_eq!(user.send(request).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn bad_orders_bad_paths_and_bad_methods_are_told_apart() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    let orders = [
        "no JSON",
        r#"{"report_type":"settlement","product":"duitnow_qr"}"#,
        r#"{"report_type":"","product":"duitnow_qr","date":"2026-01-31"}"#,
        r#"{"report_type":"settlement","product":"duitnow_qr","date":"31-01-2026"}"#,
        r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-13-01"}"#,
        r#"{"report_type":"settlement","product":"duitnow_qr","date":"2026-01-31","fiid":"OTHER"}"#,
    ];
    for order in orders {
        let answer = user.send(user.signed(&token, Method::POST, DOWNLOAD, order)).await?;
        let json = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &json["success"], &json["error"]["code"]),
            (200, &json!(false), &json!("E0001"))
        );
    }
    assert_eq!(user.sandbox.stats().accepted, 6);
    let wrong = [(Method::GET, "/token", 405), (Method::POST, "/v1/reports/types", 405), (Method::GET, "/v3/x", 404)];
    for (method, path, status) in wrong {
        let answer = user.send(user.signed(&token, method, path, "")).await?;
        assert_eq!((answer.status.as_u16(), answer.json().is_object()), (status, true), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_server_clock_shows_in_date_and_window() -> TestResult {
    let user = User::of(Sandbox::builder().timestamp_window(Duration::from_secs(60)).start().await?);
    let token = user.token().await?;
    for offset in [3600, -3600, 30] {
        user.sandbox.set_clock_offset(offset);
        let api = user.send(user.types(&token)).await?;
        assert_near(api.date_offset(), offset);
        assert_near(user.send(user.token_request(FORM)).await?.date_offset(), offset);
        if offset == 30 {
            assert_eq!(api.status, 200);
        } else {
            assert_eq!((api.status.as_u16(), api.text("message")), (400, OUT_OF_RANGE.to_owned()));
        }
    }
    user.sandbox.set_clock_offset(3600);
    let elsewhere = user.send(request(Method::GET, user.sandbox.download_origin(), "")).await?;
    assert_near(elsewhere.date_offset(), 0);
    for extreme in [i64::MIN, i64::MAX] {
        user.sandbox.set_clock_offset(extreme);
        assert_eq!(user.send(user.types(&token)).await?.text("message"), OUT_OF_RANGE);
    }
    Ok(())
}

#[tokio::test]
async fn revoked_and_expired_tokens_are_refused() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    user.sandbox.revoke_tokens();
    assert_eq!(user.send(user.types(&token)).await?.text("message"), FORBIDDEN);
    assert_eq!(user.send(user.types(&user.token().await?)).await?.status, 200);

    let user = User::of(Sandbox::builder().token_lifetime(Duration::from_millis(1500)).start().await?);
    let answer = user.send(user.token_request(FORM)).await?;
    assert_eq!(answer.json()["expires_in"], 1.5);
    let token = answer.text("access_token");
    assert_eq!(user.send(user.types(&token)).await?.status, 200);
    let started = since_1970();
    while user.send(user.types(&token)).await?.status == 200 {
        assert!(passed_since(started) < Duration::from_secs(20), "the token does not expire");
    }
    assert_eq!(user.send(user.types(&token)).await?.text("message"), FORBIDDEN);
    Ok(())
}

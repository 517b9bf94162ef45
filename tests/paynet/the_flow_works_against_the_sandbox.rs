//! PayNet's documented flow against the sandbox: signatures, clocks, FI ids, and the one-time download.

use std::{
    io::{self, Read},
    time::Duration,
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderValue, Request, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::{Value, json};
use tower_outbound_auth::{
    AuthLayerBuilder, Credentials,
    paynet::{self, X_FIID},
    rejection::NotReplayed,
    sandbox::{FIID, RejectionStyle, Sandbox},
    signing::{SignRules, TimestampHmac},
};

use crate::support::user::{Protocol, TestResult, User};

type Set = fn(AuthLayerBuilder) -> AuthLayerBuilder;

/// A sandbox that rejects a timestamp more than a minute off.
async fn strict_sandbox() -> io::Result<Sandbox> {
    Sandbox::builder().timestamp_window(Duration::from_secs(60)).start().await
}

#[tokio::test]
async fn r8_a_wrong_clock_is_corrected_without_a_token_request() -> TestResult {
    for offset in [240, -240] {
        let user = User::over(Protocol::Http1, strict_sandbox().await?)?;
        user.types().await?;
        user.sandbox.set_clock_offset(offset);
        user.types().await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.rejected, stats.accepted), (1, 1, 2), "{offset}");
        // Learnt for good, and forgotten when it is right again.
        user.types().await?;
        assert_eq!(user.sandbox.stats().rejected, 1);
        user.sandbox.set_clock_offset(0);
        user.types().await?;
        user.types().await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.rejected, stats.accepted), (1, 2, 5), "{offset}");
    }
    Ok(())
}

#[tokio::test]
async fn r8_a_clock_an_hour_off_is_corrected_when_two_responses_agree() -> TestResult {
    for offset in [3600, -3600] {
        let user = User::over(Protocol::Http1, Sandbox::start().await?)?;
        user.types().await?;
        user.sandbox.set_clock_offset(offset);
        user.types().await.unwrap_err();
        user.types().await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.rejected, stats.accepted), (1, 2, 2), "{offset}");
    }
    Ok(())
}

#[tokio::test]
async fn r8_the_first_signature_is_right_on_a_machine_with_a_wrong_clock() -> TestResult {
    for offset in [240, -240] {
        let user = User::over(Protocol::Http1, strict_sandbox().await?)?;
        user.sandbox.set_clock_offset(offset);
        user.types().await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.rejected, stats.accepted), (1, 0, 1), "{offset}");
    }
    Ok(())
}

#[tokio::test]
async fn r4_a_wrong_fi_id_costs_one_replay_for_each_renewal_and_its_message_comes_whole() -> TestResult {
    let wrong = |auth: AuthLayerBuilder| auth.header(X_FIID, HeaderValue::from_static("FIID9999"));
    let user = User::impatient(Sandbox::start().await?, wrong)?;
    let renewals = (1..=4).map(|call| (NotReplayed::RejectedAgain, 1 + call, 2 * call));
    // r5: then the budget is spent.
    for (reason, token_requests, api_requests) in renewals.chain([(NotReplayed::Throttled, 5, 9)]) {
        let answer = user.send(post(&user, QUERY, &json!({ "query": "{ banks }" }))?).await?;
        assert_eq!((answer.status.as_u16(), answer.not_replayed), (400, Some(reason)), "{api_requests}");
        assert_eq!(answer.body, r#"{"message":"Access to this resource is forbidden"}"#);
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.api_requests), (token_requests, api_requests));
    }
    // A request that needs no FI ID is served.
    user.types().await
}

#[tokio::test]
async fn r4_the_right_fi_id_is_taken_and_a_revoked_token_is_replaced() -> TestResult {
    for style in [RejectionStyle::Documented400, RejectionStyle::Unauthorized401] {
        let right = |auth: AuthLayerBuilder| auth.header(X_FIID, HeaderValue::from_static(FIID));
        let user = User::impatient(Sandbox::builder().rejection(style).start().await?, right)?;
        for token_requests in 1..=2 {
            let answer = user.send(post(&user, QUERY, &json!({ "query": "{ banks }" }))?).await?;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(user.sandbox.stats().token_requests, token_requests);
            user.sandbox.revoke_tokens();
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_a_new_token_cannot_change_reaches_the_caller_whole_and_is_sent_once() -> TestResult {
    let unsigned = |auth: AuthLayerBuilder| {
        let signer = TimestampHmac::sha256(Credentials::new("any", "any"));
        auth.sign(SignRules::matching(|_, _| false), signer)
    };
    let missigned = |auth: AuthLayerBuilder| {
        auth.sign(paynet::sign_rules(), TimestampHmac::sha256(Credentials::new("client_123456789", "another")))
    };
    let cases: [(Set, _, _); 3] = [
        (unsigned, DOWNLOAD, "Timestamp is required"),
        (missigned, DOWNLOAD, "Invalid signature"),
        (|auth| auth, QUERY, "X-Fiid is required"),
    ];
    for (set, path, message) in cases {
        let user = User::impatient(Sandbox::start().await?, set)?;
        let answer = user.send(post(&user, path, &order())?).await?;
        assert_eq!((answer.status.as_u16(), answer.not_replayed), (400, None), "{message}");
        assert_eq!(answer.body, json!({ "message": message }).to_string());
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.api_requests), (1, 1), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn the_report_list_is_signed_and_read() -> TestResult {
    let user = User::over(Protocol::Http2, Sandbox::start().await?)?;
    let answer = user.send(Request::get(user.url("/v1/reports/types")).body(Full::default())?).await?;
    let list: Value = serde_json::from_slice(&answer.body)?;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2), "{list}");
    assert_eq!(user.sandbox.stats().accepted, 1);
    Ok(())
}

#[tokio::test]
async fn s3_the_one_time_url_gets_no_credential_and_is_asked_once() -> TestResult {
    let user = User::over(Protocol::Http1, Sandbox::start().await?)?;
    let answer = user.send(post(&user, DOWNLOAD, &order())?).await?;
    let report: Value = serde_json::from_slice(&answer.body)?;
    let url = report["data"]["url"].as_str().ok_or("no URL")?;
    let file = user.send(Request::get(url).body(Full::default())?).await?;
    assert_eq!(file.status, 200);
    let mut csv = String::new();
    GzDecoder::new(&file.body[..]).read_to_string(&mut csv)?;
    assert!(csv.starts_with("date,fiid,"), "{csv}");
    // A second request for it would have been answered with 410, as this one is.
    assert_eq!(user.send(Request::get(url).body(Full::default())?).await?.status, 410);
    let stats = user.sandbox.stats();
    assert_eq!((stats.downloads, stats.credentials_leaked, stats.token_requests), (1, 0, 1));
    Ok(())
}

fn post(user: &User, path: &str, json: &Value) -> http::Result<Request<Full<Bytes>>> {
    let request = Request::post(user.url(path)).header(CONTENT_TYPE, "application/json");
    request.body(Full::from(json.to_string()))
}

fn order() -> Value {
    json!({ "report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31" })
}

const DOWNLOAD: &str = "/v1/reports/download";
const QUERY: &str = "/v2/reports/query";

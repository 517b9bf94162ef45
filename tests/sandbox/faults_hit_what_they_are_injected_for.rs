//! Faults hit the requests that they are injected for, as often as a test asks.

use std::{io::ErrorKind, time::Duration};

use http::{StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower_outbound_auth::{
    paynet::X_TIMESTAMP,
    sandbox::{Fault, FaultKind, RejectionStyle, Sandbox},
};

use crate::user::{FORM, Protocol, TestResult, User, assert_near, passed_since, set, since_1970};

#[tokio::test]
async fn a_user_who_asks_for_401s_gets_them_for_tokens_alone() -> TestResult {
    let user = User::of(Sandbox::builder().rejection(RejectionStyle::Unauthorized401).start().await?);
    let answer = user.send(user.types("unknown")).await?;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers[header::WWW_AUTHENTICATE], r#"Bearer realm="paynet", error="invalid_token""#);
    assert!(answer.json().is_object());
    let mut stale = user.types(&user.token().await?);
    set(&mut stale, X_TIMESTAMP, "1700000000");
    assert_eq!(user.send(stale).await?.status, 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_hits_the_side_it_was_meant_for() -> TestResult {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let user = User::over(protocol, Sandbox::start().await?);
        let token = user.token().await?;
        let sides = [
            (Fault::token as fn(FaultKind) -> Fault, user.token_request(FORM), user.types(&token)),
            (Fault::api, user.types(&token), user.token_request(FORM)),
        ];
        for (fault, victim, bystander) in sides {
            let busy = StatusCode::SERVICE_UNAVAILABLE;
            user.sandbox.inject(fault(FaultKind::Status(StatusCode::IM_A_TEAPOT)).times(2));
            user.sandbox.inject(fault(FaultKind::Status(StatusCode::BAD_GATEWAY)).times(0));
            user.sandbox.inject(fault(FaultKind::RetryAfter(busy, Duration::from_millis(1500))));
            user.sandbox.inject(fault(FaultKind::Malformed));
            user.sandbox.inject(fault(FaultKind::WrongClock(-7200)));
            user.sandbox.inject(fault(FaultKind::Latency(Duration::from_millis(200))));
            user.sandbox.inject(fault(FaultKind::Reset));
            user.sandbox.inject(fault(FaultKind::CutOff));
            assert_eq!(user.send(bystander.clone()).await?.status, 200);

            assert_eq!(user.send(victim.clone()).await?.status, 418);
            assert_eq!(user.send(victim.clone()).await?.status, 418);
            let later = user.send(victim.clone()).await?;
            assert_eq!((later.status, &later.headers[header::RETRY_AFTER]), (busy, &"2".parse()?));
            let malformed = user.send(victim.clone()).await?;
            assert_eq!(malformed.status, 200);
            assert!(serde_json::from_slice::<Value>(&malformed.body).is_err());
            let misdated = user.send(victim.clone()).await?;
            assert_near(misdated.date_offset(), -7200);
            assert!(misdated.json().is_object());
            let started = since_1970();
            assert!(user.send(victim.clone()).await?.json().is_object());
            assert!(passed_since(started) >= Duration::from_millis(190));
            assert!(user.send(victim.clone()).await.is_err(), "reset");
            let head = user.client.request(victim.clone()).await?;
            assert!(head.headers().contains_key(header::CONTENT_LENGTH));
            assert!(head.into_body().collect().await.is_err(), "cut off");
            assert_eq!(user.send(victim).await?.status, 200);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_reset_and_a_cut_off_body_is_half_there() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let whole = user.send(user.token_request(FORM)).await?.body.len();
    user.sandbox.inject(Fault::token(FaultKind::Reset));
    let (received, end) = user.send_raw().await?;
    assert_eq!((received.as_str(), end), ("", Err(ErrorKind::ConnectionReset)));

    user.sandbox.inject(Fault::token(FaultKind::CutOff));
    let (received, end) = user.send_raw().await?;
    let (head, body) = received.split_once("\r\n\r\n").ok_or("no head")?;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains(&format!("content-length: {whole}")), "{head}");
    assert_eq!((body.len(), end), (whole / 2, Ok(())));
    Ok(())
}

#[tokio::test]
async fn cleared_faults_harm_no_request() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    user.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::BAD_GATEWAY)).times(2));
    user.sandbox.inject(Fault::api(FaultKind::Malformed));
    assert_eq!(user.send(user.token_request(FORM)).await?.status, 502);
    user.sandbox.clear_faults();
    let token = user.token().await?;
    assert_eq!(user.send(user.types(&token)).await?.headers[header::CONTENT_TYPE], "application/json");
    Ok(())
}

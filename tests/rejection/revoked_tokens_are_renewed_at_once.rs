//! R5: a revoked token is renewed at once, however many are revoked in a row.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header::WWW_AUTHENTICATE};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, util::MapResponse};
use tower_outbound_auth::{rejection::NotReplayed, replay::NoReplay};

use crate::{
    load::{Api, load, millis, seconds},
    support::{Body, Issuer, get},
};

/// Twenty times two revocations, the second this long after the first, under 100 requests a second.
async fn revokes_twice(issuer: &Issuer, gap: Duration) {
    for _ in 0..20 {
        issuer.revoke();
        sleep(gap).await;
        issuer.revoke();
        sleep(seconds(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r5_two_revocations_within_a_second_fail_no_call() {
    // A renewal and the second answer take 60 ms, before which a second revocation does meet the second request (R4).
    for gap in [80, 95, 100, 200, 400, 999].map(millis) {
        let issuer = Issuer::new();
        let client = issuer.layer().layer(Api::new(&issuer));
        client.clone().oneshot(get("/a")).await.unwrap();
        let (tally, ()) = tokio::join!(load(&client, "/a", millis(10), seconds(62)), revokes_twice(&issuer, gap));
        assert_eq!((tally.calls, tally.failed), (6_200, 0), "{gap:?}: {tally:?}");
        assert_eq!(issuer.requests(), 41, "{gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r5_where_nothing_is_replayed_a_revoked_token_is_renewed_at_once() {
    let issuer = Issuer::new();
    let client = issuer.builder().replay(NoReplay).build().unwrap().layer(Api::new(&issuer));
    client.clone().oneshot(get("/a")).await.unwrap();
    let revocations = async {
        for _ in 0..20 {
            issuer.revoke();
            sleep(seconds(11)).await;
        }
    };
    let (tally, ()) = tokio::join!(load(&client, "/a", millis(10), seconds(230)), revocations);
    assert_eq!(issuer.requests(), 21);
    assert_eq!(tally.failed, tally.marked(NotReplayed::BodyNotReplayable), "{tally:?}");
    // Those that were on their way when the token was revoked.
    assert!(tally.failed <= 20 * 2, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn r5_where_nothing_is_replayed_four_revocations_in_a_row_are_recovered_from_at_once() {
    // Nothing tells that these renewals helped, so that each takes its unit.
    let issuer = Issuer::new();
    let client = issuer.builder().replay(NoReplay).build().unwrap().layer(Api::new(&issuer));
    client.clone().oneshot(get("/a")).await.unwrap();
    let revocations = async {
        for _ in 0..5 {
            issuer.revoke();
            sleep(millis(400)).await;
        }
    };
    let (tally, ()) = tokio::join!(load(&client, "/a", millis(10), seconds(30)), revocations);
    assert_eq!(issuer.requests(), 6);
    let (lost, throttled) = (tally.marked(NotReplayed::BodyNotReplayable), tally.marked(NotReplayed::Throttled));
    assert!(lost <= 5 * 2, "those that were on their way when the token was revoked: {tally:?}");
    // From the fifth revocation until ten seconds after the first unit was lost, at 1.07 s.
    assert!((940..=950).contains(&throttled), "{tally:?}");
    assert_eq!(tally.failed, lost + throttled);
}

#[tokio::test(start_paused = true)]
async fn r5_any_number_of_revocations_is_recovered_from_at_once_if_they_are_a_second_apart() {
    let issuer = Issuer::new();
    let client = issuer.layer().layer(Api::new(&issuer));
    for round in 1..=200 {
        let began = Instant::now();
        assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        assert!(began.elapsed() <= millis(70), "{:?}", began.elapsed());
        assert_eq!(issuer.requests(), round);
        sleep(seconds(1)).await;
        issuer.revoke();
    }
}

/// Revocations in a row, of an API that answers good tokens with this and nothing else.
async fn is_recovered_from_at_once(status: StatusCode, challenge: Option<&'static str>) {
    let issuer = Issuer::new();
    let api = MapResponse::new(Api::new(&issuer), move |mut response: Response<Body>| {
        if response.status() == StatusCode::OK {
            *response.status_mut() = status;
            let challenge = challenge.map(|challenge| (WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
            response.headers_mut().extend(challenge);
        }
        response
    });
    let client = issuer.layer().layer(api);
    client.clone().oneshot(get("/a")).await.unwrap();
    for round in 2..10 {
        issuer.revoke();
        let response = client.clone().oneshot(get("/a")).await.unwrap();
        let mark = response.extensions().get::<NotReplayed>();
        assert_eq!(response.status(), status, "revocation {}, marked {mark:?}", round - 1);
        assert_eq!(issuer.requests(), round, "{status}");
        sleep(seconds(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r5_other_troubles_of_an_api_keep_no_revoked_token_from_being_renewed() {
    is_recovered_from_at_once(StatusCode::NOT_FOUND, None).await;
    is_recovered_from_at_once(StatusCode::SERVICE_UNAVAILABLE, None).await;
    is_recovered_from_at_once(StatusCode::TOO_MANY_REQUESTS, None).await;
    is_recovered_from_at_once(StatusCode::FORBIDDEN, None).await;
    is_recovered_from_at_once(StatusCode::FORBIDDEN, Some(r#"Bearer error="insufficient_scope""#)).await;
}

#[tokio::test(start_paused = true)]
async fn r5_a_token_refreshed_in_time_is_no_renewal_though_the_one_before_was() {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.lifetime = Some(seconds(1_000)));
    let client = issuer.layer().layer(Api::new(&issuer));
    let call = || client.clone().oneshot(get("/a"));
    call().await.unwrap();
    issuer.revoke();
    assert_eq!((call().await.unwrap().status(), issuer.requests()), (StatusCode::OK, 2), "renewed, and replayed");
    sleep(seconds(850)).await;
    // Starts a fetch that no request waits for, and goes on with the old token.
    assert_eq!(call().await.unwrap().status(), StatusCode::OK);
    sleep(seconds(1)).await;
    assert_eq!((call().await.unwrap().status(), issuer.requests()), (StatusCode::OK, 3), "refreshed in time");
    issuer.revoke();
    assert_eq!((call().await.unwrap().status(), issuer.requests()), (StatusCode::OK, 4), "renewed at once");
}

//! An API that rejects whatever it gets costs few token requests, and no revocation locks anybody out.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    rejection::NotReplayed,
    replay::{CloneBody, NoReplay, Replay},
};

use crate::{
    load::{Api, NONE, load, millis, seconds},
    support::{Body, Issuer, get},
};

/// A minute of 500 requests a second, all rejected; then the API recovers for tokens from this number on.
async fn storm<R: Replay<Body>>(policy: R, healthy_before: bool, recovers_for_old_tokens: bool) {
    let issuer = Issuer::new();
    let api = Api::new(&issuer);
    let client = issuer.layer().replay(policy).layer(api.clone());
    if healthy_before {
        assert_eq!(load(&client, "/a", millis(100), seconds(10)).await.failed, 0);
    }
    api.take_from(NONE);
    let (before, sent) = (issuer.requests(), api.requests.load(SeqCst));
    let tally = load(&client, "/a", millis(2), seconds(60)).await;
    let cost = issuer.requests() - before;
    assert!(cost <= 10, "{cost} token requests in a minute: {tally:?}");
    assert!(cost >= 4, "it goes on trying: {cost}");
    assert_eq!((tally.calls, tally.failed), (30_000, 30_000));
    assert!(tally.marked(NotReplayed::Throttled) > 28_000, "{tally:?}");
    assert_eq!(tally.marked(None), 0, "each says why it was not replayed");
    let again = api.requests.load(SeqCst) - sent - 30_000;
    assert!(again < 1_000, "{again} requests were sent again");

    api.take_from(if recovers_for_old_tokens { 0 } else { issuer.requests() + 1 });
    let before = issuer.requests();
    load(&client, "/a", millis(100), seconds(60)).await;
    assert_eq!(load(&client, "/a", millis(100), seconds(60)).await.failed, 0, "recovered within a minute");
    assert!(issuer.requests() - before <= 1);
}

#[tokio::test(start_paused = true)]
async fn r5_an_api_that_rejects_everything_costs_ten_token_requests_a_minute_and_recovers_in_the_next() {
    for healthy_before in [false, true] {
        for recovers_for_old_tokens in [false, true] {
            storm(CloneBody, healthy_before, recovers_for_old_tokens).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r5_the_same_holds_where_nothing_is_replayed() {
    for healthy_before in [false, true] {
        for recovers_for_old_tokens in [false, true] {
            storm(NoReplay, healthy_before, recovers_for_old_tokens).await;
        }
    }
}

/// The moments of the renewals, in whole milliseconds, while one request after another is rejected for so long.
async fn renewals<R: Replay<Body>>(policy: R, lasting: Duration) -> Vec<u128> {
    let issuer = Issuer::new();
    let api = Api::new(&issuer);
    api.take_from(NONE);
    let layer = issuer.layer().replay(policy);
    layer.handle().token().await.unwrap();
    let client = layer.layer(api);
    let began = tokio::time::Instant::now();
    let mut moments = Vec::new();
    while began.elapsed() < lasting {
        let before = issuer.requests();
        client.clone().oneshot(get("/a")).await.unwrap();
        sleep(millis(1)).await;
        if issuer.requests() > before {
            moments.push(began.elapsed().as_millis());
        }
    }
    moments
}

#[tokio::test(start_paused = true)]
async fn r5_the_throttling_doubles_from_one_second_to_a_minute() {
    let moments = renewals(CloneBody, seconds(300)).await;
    let gaps: Vec<_> = moments.windows(2).map(|pair| (pair[1] - pair[0]).div_euclid(1_000)).collect();
    assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 60, 60, 60], "{moments:?}");
}

#[tokio::test(start_paused = true)]
async fn r5_a_renewal_counts_once_however_many_requests_waited_for_it() {
    let issuer = Issuer::new();
    let api = Api::new(&issuer);
    api.take_from(NONE);
    let client = issuer.layer().layer(api.clone());
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    for call in calls {
        let response = call.await.unwrap().unwrap();
        assert_eq!(response.extensions().get(), Some(&NotReplayed::RejectedAgain));
    }
    assert_eq!((issuer.requests(), api.requests.load(SeqCst)), (2, 200));
    sleep(millis(985)).await;
    let response = client.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Throttled), "a second has not passed");
    sleep(millis(10)).await;
    client.oneshot(get("/a")).await.unwrap();
    assert_eq!(issuer.requests(), 3, "a second has");
}

#[tokio::test(start_paused = true)]
async fn r5_while_renewals_are_throttled_a_rejection_goes_to_its_caller_whole() {
    let issuer = Issuer::new();
    let api = Api::new(&issuer);
    api.take_from(NONE);
    let layer = issuer.layer();
    let client = layer.layer(api.clone());
    client.clone().oneshot(get("/a")).await.unwrap();
    let began = tokio::time::Instant::now();
    let response = client.oneshot(get("/a")).await.unwrap();
    assert_eq!(began.elapsed(), millis(10), "at once");
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Throttled));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "401");
    assert_eq!((issuer.requests(), api.requests.load(SeqCst)), (2, 3));
    assert_eq!(layer.handle().token().await.unwrap().expose_secret(), "token-2", "the token stays");
}

#[tokio::test(start_paused = true)]
async fn r5_the_first_accepted_request_ends_the_throttling_of_an_api_that_accepted_none() {
    let issuer = Issuer::new();
    let api = Api::new(&issuer);
    api.take_from(NONE);
    let client = issuer.layer().layer(api.clone());
    // Renewals at 0, 1, 3, 7 and 15 s; the next would be at 31 s.
    load(&client, "/a", millis(50), seconds(20)).await;
    assert_eq!(issuer.requests(), 6);
    api.take_from(0);
    assert_eq!(load(&client, "/a", millis(50), seconds(1)).await.failed, 0);
    issuer.revoke();
    assert_eq!(load(&client, "/a", millis(50), seconds(1)).await.failed, 0, "a revoked token is renewed at once");
    assert_eq!(issuer.requests(), 7);
}

//! R5: an API that rejects whatever it gets costs no more token requests than the renewal budget allows.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthLayer,
    rejection::NotReplayed,
    replay::{CloneBody, NoReplay, Replay},
    token::RefreshPolicy,
};

use crate::{
    load::{Api, NONE, load, millis, seconds},
    support::{Body, Issuer, get},
};

/// The moments of the renewals, in whole milliseconds, while one request after another is rejected for so long.
async fn renewals<R: Replay<Body>>(policy: R, lasting: Duration) -> Vec<u128> {
    let issuer = Issuer::new();
    let api = Api::new(&issuer);
    api.take_from(NONE);
    let layer = issuer.builder().replay(policy).build().unwrap();
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
async fn r5_an_api_that_rejects_everything_causes_four_renewals_and_one_more_in_each_ten_seconds() {
    for moments in [renewals(CloneBody, seconds(100)).await, renewals(NoReplay, seconds(100)).await] {
        assert!(moments[3] < 300, "{moments:?}");
        let gaps: Vec<_> = moments[3..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (9_700..10_200).contains(gap)), "{moments:?}");
        assert!((12..=14).contains(&moments.len()), "{moments:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r5_the_budget_can_be_set() {
    for (burst, refill, expected) in [(0, 1, 0), (1, 60, 1), (1, 5, 2), (2, 3, 4)] {
        let issuer = Issuer::new();
        let api = Api::new(&issuer);
        api.take_from(NONE);
        let policy = RefreshPolicy::default().renewal_budget(burst, seconds(refill));
        let client = issuer.builder().refresh(policy).build().unwrap().layer(api);
        load(&client, "/a", millis(50), seconds(9)).await;
        assert_eq!(issuer.requests() - 1, expected, "{burst}, and one more each {refill} s");
    }
}

#[tokio::test(start_paused = true)]
async fn r5_a_renewal_takes_one_unit_however_many_requests_wait_for_it() {
    let issuer = Issuer::new();
    let api = Api::new(&issuer);
    api.take_from(NONE);
    let client = issuer.layer().layer(api.clone());
    for round in 1..=5 {
        let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
        let mark = if round < 5 { NotReplayed::RejectedAgain } else { NotReplayed::Throttled };
        for call in calls {
            let response = call.await.unwrap().unwrap();
            assert_eq!(response.extensions().get(), Some(&mark), "round {round}");
        }
    }
    assert_eq!((issuer.requests(), api.requests.load(SeqCst)), (5, 900));
}

/// A layer whose API has rejected everything until the budget was used up.
async fn used_up() -> (Issuer, Api, AuthLayer) {
    let issuer = Issuer::new();
    let (api, layer) = (Api::new(&issuer), issuer.layer());
    api.take_from(NONE);
    for _ in 0..4 {
        layer.layer(api.clone()).oneshot(get("/a")).await.unwrap();
    }
    assert_eq!((issuer.requests(), api.requests.load(SeqCst)), (5, 8));
    (issuer, api, layer)
}

#[tokio::test(start_paused = true)]
async fn r5_once_the_budget_is_used_up_a_rejection_goes_to_its_caller_whole() {
    let (issuer, api, layer) = used_up().await;
    let began = tokio::time::Instant::now();
    let response = layer.layer(api.clone()).oneshot(get("/a")).await.unwrap();
    assert_eq!(began.elapsed(), millis(10), "at once");
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Throttled));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "401");
    assert_eq!((issuer.requests(), api.requests.load(SeqCst)), (5, 9));
    assert_eq!(layer.handle().token().await.unwrap().expose_secret(), "token-5", "the token stays");
}

#[tokio::test(start_paused = true)]
async fn r5_once_the_budget_is_used_up_a_first_rejection_is_replayed_at_once_with_the_same_token() {
    let (issuer, api, layer) = used_up().await;
    let client = layer.layer(api.clone());
    api.take_from(0);
    assert_eq!(client.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    api.reject_next();
    let began = tokio::time::Instant::now();
    assert_eq!(client.oneshot(get("/a")).await.unwrap().status(), 200);
    assert_eq!(began.elapsed(), millis(20), "two answers of the API, and no fetch");
    assert_eq!(issuer.requests(), 5);
}

//! However many callers want a token, one token request is made for them.

mod support;

use std::time::Duration;

use support::{Issuer, api, get};
use tower::{Layer, ServiceExt};

#[tokio::test(start_paused = true)]
async fn t1_ten_thousand_cold_callers_cost_one_token_request() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::from_millis(10));
    let client = issuer.layer().layer(api);
    let calls: Vec<_> = (0..10_000).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(issuer.requests(), 1);
    assert_eq!(seen.count(), 10_000);
}

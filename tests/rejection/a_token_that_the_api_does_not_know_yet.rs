//! R5: an API that learns late of each new token: it is served soon after it knows one, at the price of the renewal budget.

use std::time::Duration;

use crate::renewal_figures::world::{World, millis, seconds};

/// An API that takes a token so long after it was issued, and no earlier.
async fn knows_late(delay: Duration, calls_per_second: f64, latency: Duration) {
    let world = World::with(latency, |_| false);
    let process = world.process();
    let now = world.clone();
    let client = world.client(&process, move |token| now.now() >= token.issued + delay);
    let tally = world.rate(&client, calls_per_second, Duration::ZERO, seconds(20)).await;
    let case = format!("known after {delay:?}, {calls_per_second} calls a second, tokens after {latency:?}");
    let (requests, newest) = (process.requests(), world.issued_last());
    assert!(requests <= 5, "{case}: {requests} token requests");
    let known = newest + delay;
    tally.during(known + seconds(1)..).assert_served(100, &case);
    // Where calls and tokens come quickly, so does the last of the five.
    if calls_per_second >= 10.0 && latency <= millis(100) {
        let first_known = latency + delay;
        assert!(tally.first_served() <= Some(first_known + seconds(1)), "{case}: {:?}", tally.first_served());
    }
}

#[tokio::test(start_paused = true)]
async fn r5_a_token_is_used_within_a_second_after_the_api_knows_it_and_five_are_fetched_at_most() {
    for delay in [millis(300), millis(1_500), seconds(5)] {
        for calls_per_second in [1.0, 3.0, 10.0, 50.0, 200.0] {
            for latency in [millis(10), millis(100), millis(400)] {
                knows_late(delay, calls_per_second, latency).await;
            }
        }
    }
}

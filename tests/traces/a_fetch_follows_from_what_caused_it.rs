//! A fetch is a root span that follows from the span of the caller that started it, and from no other.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{advance, sleep};
use tower::{Layer as _, ServiceExt};
use tracing::{Instrument, Subscriber, info_span, span};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

use crate::support::{Issuer, api, get};

/// Notes for each span whether it is a root, and what it follows from.
#[derive(Clone, Default)]
struct Links(Arc<Mutex<Vec<String>>>);

impl Links {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Links {
    fn on_new_span(&self, _: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        if span.name() == "token_fetch" {
            self.0.lock().unwrap().push(format!("fetch in {:?}", span.parent().map(|parent| parent.name())));
        }
    }

    fn on_follows_from(&self, id: &span::Id, follows: &span::Id, context: Context<'_, S>) {
        let [span, cause] = [id, follows].map(|id| context.span(id).unwrap().name());
        self.0.lock().unwrap().push(format!("{span} follows from {cause}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_follows_from_the_span_of_the_caller_that_started_it() {
    let links = Links::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(links.clone()));
    let issuer = Issuer::new();
    let layer = issuer.layer();
    let (_, api) = api(&issuer, Duration::from_millis(5));
    let client = layer.layer(api);
    // `call` too is within the span, as it is in a service that creates one for each request.
    let request = |span: tracing::Span| {
        let client = client.clone();
        async move { client.oneshot(get("/a")).await.unwrap().status() }.instrument(span)
    };
    let linked = |cause: &str| vec!["fetch in None".to_owned(), format!("token_fetch follows from {cause}")];

    let (first, joined) = tokio::join!(request(info_span!("first")), request(info_span!("joined")));
    assert!(first == 200 && joined == 200);
    assert_eq!(links.take(), linked("first"), "who joins is no cause");

    advance(Duration::from_secs(3_000)).await;
    assert_eq!(request(info_span!("refresher")).await, 200);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(links.take(), linked("refresher"));

    issuer.revoke();
    assert_eq!(request(info_span!("rejected")).await, 200);
    assert_eq!(links.take(), linked("rejected"));

    layer.handle().refresh().instrument(info_span!("by_hand")).await.unwrap();
    assert_eq!(links.take(), linked("by_hand"));

    let warm = info_span!("start_up").in_scope(|| layer.handle().keep_warm());
    advance(Duration::from_secs(3_000)).await;
    sleep(Duration::from_secs(1)).await;
    drop(warm);
    assert_eq!(links.take(), ["fetch in None"], "time alone has caused it");
    assert_eq!(issuer.requests(), 5);
}

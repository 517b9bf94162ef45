use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
};

use http::Request;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthLayer,
    keyed::KeyedAuthLayer,
    token::{AccessToken, source_fn},
};

use crate::{
    support::{Body, ORIGIN, get},
    tenants::api,
};

/// Has the hash of every other key, and panics when it is compared, if it is told to.
#[derive(Clone)]
struct Strange {
    number: u32,
    panics: bool,
}

impl PartialEq for Strange {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.panics && !other.panics, "a comparison that panics");
        self.number == other.number
    }
}

impl Eq for Strange {}

impl Hash for Strange {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

fn keyed() -> KeyedAuthLayer<Strange> {
    let make = |key: &Strange| {
        let token = format!("token-{}", key.number);
        let source = source_fn(move |_| std::future::ready(AccessToken::new(token.clone(), None)));
        AuthLayer::builder(source).origin(ORIGIN).build()
    };
    KeyedAuthLayer::builder(make).capacity(50).build()
}

fn request(number: u32, panics: bool) -> Request<Body> {
    let mut request = get("/");
    request.extensions_mut().insert(Strange { number, panics });
    request
}

#[tokio::test(start_paused = true)]
async fn k1_keys_that_all_have_one_hash_are_told_apart() {
    let (keyed, (seen, api)) = (keyed(), api());
    let numbers: Vec<_> = (0..50).chain((0..50).rev()).chain(40..80).collect();
    for number in &numbers {
        keyed.layer(api.clone()).oneshot(request(*number, false)).await.unwrap();
    }
    let expected: Vec<_> = numbers.iter().map(|number| format!("token-{number}")).collect();
    assert_eq!(seen.tokens(), expected);
    assert_eq!((keyed.len(), seen.tokens().iter().collect::<HashSet<_>>().len()), (50, 80));
}

#[tokio::test(start_paused = true)]
async fn k3_a_key_whose_comparison_panics_harms_its_caller_alone() {
    let (keyed, (seen, api)) = (keyed(), api());
    for number in [1, 2, 3] {
        keyed.layer(api.clone()).oneshot(request(number, false)).await.unwrap();
        let panicking = tokio::spawn(keyed.layer(api.clone()).oneshot(request(number, true)));
        assert!(panicking.await.unwrap_err().is_panic());
        keyed.layer(api.clone()).oneshot(request(number, false)).await.unwrap();
    }
    assert_eq!((keyed.len(), seen.count()), (3, 6));
}

//! F6: what tells two tokens apart is part of the name of their entry.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use proptest::prelude::*;
use tower::service_fn;
use tower_outbound_auth::{
    BoxError, Credentials,
    fleet::{MemoryStore, SharedTokenSource},
    oauth::{ClientAuth, ClientCredentialsGrant},
    token::TokenSource,
};

use super::stage::fetch;

/// Everything that a token request says, but the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    url: String,
    client: String,
    method: u8,
    grant_type: String,
    scopes: BTreeSet<String>,
    audience: Option<String>,
    resources: BTreeSet<String>,
    params: BTreeSet<(String, String)>,
    headers: BTreeSet<(String, String)>,
}

impl Facts {
    fn grant(&self, backwards: bool) -> ClientCredentialsGrant {
        let endpoint = service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, BoxError>(Response::new(r#"{ "access_token": "abc", "expires_in": 1000 }"#.to_owned()))
        });
        let credentials = Credentials::new(&self.client, "secret");
        let method = match self.method {
            0 => ClientAuth::Body,
            1 => ClientAuth::Basic,
            _ => ClientAuth::BasicUnencoded,
        };
        let mut builder =
            ClientCredentialsGrant::builder(&self.url, credentials).client_auth(method).grant_type(&self.grant_type);
        for scope in ordered(&self.scopes, backwards) {
            builder = builder.scope(scope);
        }
        if let Some(audience) = &self.audience {
            builder = builder.audience(audience);
        }
        for resource in ordered(&self.resources, backwards) {
            builder = builder.resource(resource);
        }
        for (name, value) in ordered(&self.params, backwards) {
            builder = builder.param(name, value);
        }
        for (name, value) in ordered(&self.headers, backwards) {
            let value = HeaderValue::from_str(&value).unwrap();
            builder = builder.header(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        builder.transport(endpoint).build().unwrap()
    }
}

fn ordered<T: Clone>(set: &BTreeSet<T>, backwards: bool) -> Vec<T> {
    let mut list: Vec<_> = set.iter().cloned().collect();
    if backwards {
        list.reverse();
    }
    list
}

/// Few letters, so that two texts are often equal, and often equal when they are joined.
fn text() -> impl Strategy<Value = String> {
    "[ab]{1,2}"
}

fn pairs() -> impl Strategy<Value = BTreeSet<(String, String)>> {
    // One value for each name.
    let map = prop::collection::btree_map("x[ab]", text(), 0..3);
    map.prop_map(|map| map.into_iter().collect())
}

fn facts() -> impl Strategy<Value = Facts> {
    let url = prop::sample::select(vec!["https://a.example/t", "https://b.example/t", "https://a.example/t?x=a"]);
    let set = || prop::collection::btree_set(text(), 0..3);
    (url, text(), 0..3_u8, text(), set(), prop::option::of(text()), set(), pairs(), pairs()).prop_map(
        |(url, client, method, grant_type, scopes, audience, resources, params, headers)| Facts {
            url: url.to_owned(),
            client,
            method,
            grant_type,
            scopes,
            audience,
            resources,
            params,
            headers,
        },
    )
}

/// The facts with one of them changed.
fn changed(facts: &Facts, what: usize) -> Facts {
    let mut other = facts.clone();
    let toggle = |set: &mut BTreeSet<String>| {
        if !set.remove("a") {
            set.insert("a".to_owned());
        }
    };
    match what {
        0 => other.url.push_str("/x"),
        1 => other.client.push('c'),
        2 => other.method = (other.method + 1) % 3,
        3 => other.grant_type.push('c'),
        4 => toggle(&mut other.scopes),
        5 => other.audience = if other.audience.is_some() { None } else { Some("a".to_owned()) },
        6 => toggle(&mut other.resources),
        7 => _ = other.params.insert(("xc".to_owned(), "a".to_owned())),
        _ => _ = other.headers.insert(("xc".to_owned(), "a".to_owned())),
    }
    other
}

proptest! {
    #[test]
    fn f6_two_grants_have_one_identity_exactly_when_nothing_tells_their_tokens_apart(a in facts(), b in facts()) {
        prop_assert_eq!(a == b, a.grant(false).identity() == b.grant(true).identity(), "{:?} {:?}", a, b);
    }

    #[test]
    fn f6_whatever_is_changed_changes_the_identity(facts in facts(), what in 0..9_usize) {
        let other = changed(&facts, what);
        prop_assert_ne!(facts.grant(false).identity(), other.grant(false).identity());
        prop_assert_eq!(facts.grant(false).identity(), facts.grant(true).identity(), "the order says nothing");
    }

    #[test]
    fn f6_identities_that_are_joined_alike_are_different(a in prop::collection::vec("[ab]{1,2}", 1..4), b in prop::collection::vec("[ab]{1,2}", 1..4)) {
        let identity = |names: &[String]| {
            let inner = tower_outbound_auth::token::source_fn(|_| async { tower_outbound_auth::token::AccessToken::new("a", None) });
            let builder = SharedTokenSource::builder(inner, MemoryStore::new()).sealing_key("key", None);
            names.iter().fold(builder, |builder, name| builder.identity(name)).build().unwrap().identity()
        };
        prop_assert_eq!(a == b, identity(&a) == identity(&b));
    }
}

#[tokio::test(start_paused = true)]
async fn f6_a_fleet_looks_under_the_name_of_its_own_settings() {
    let facts = Facts {
        url: "https://a.example/t".to_owned(),
        client: "id".to_owned(),
        method: 0,
        grant_type: "client_credentials".to_owned(),
        scopes: BTreeSet::from(["read".to_owned(), "write".to_owned()]),
        audience: None,
        resources: BTreeSet::new(),
        params: BTreeSet::new(),
        headers: BTreeSet::new(),
    };
    let store = MemoryStore::new();
    let entries = || format!("{store:?}");
    for what in 0..9 {
        let source = |facts: &Facts| {
            SharedTokenSource::builder(facts.grant(false), store.clone()).sealing_key("key", None).build().unwrap()
        };
        fetch(&source(&facts)).await.unwrap();
        fetch(&source(&changed(&facts, what))).await.unwrap();
        assert_eq!(entries(), format!("MemoryStore {{ entries: {} }}", what + 2), "fact {what}");
    }
}

#[test]
fn f6_a_secret_is_no_part_of_an_identity_but_a_rotation_is_no_change() {
    let endpoint = || service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(String::new())) });
    let grant = |secret: &str| {
        let credentials = Credentials::new("id", secret);
        ClientCredentialsGrant::builder("https://a.example/t", credentials).transport(endpoint()).build().unwrap()
    };
    assert_eq!(grant("one").identity(), grant("two").identity());
    assert!(grant("one").identity().is_some());
}

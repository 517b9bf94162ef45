//! Which requests are signed: by path, by method, or by a function.

use http::{Method, Uri, header::AUTHORIZATION};
use tower_outbound_auth::{
    Credentials, paynet,
    paynet::X_SIGNATURE,
    signing::{SignRules, TimestampHmac},
};

use crate::{client::client, support::get};

async fn is_signed(rules: &SignRules, method: Method, path: &str) -> bool {
    let client = client(rules.clone(), TimestampHmac::sha256(Credentials::new("id", "a key")));
    let mut request = get(path);
    *request.method_mut() = method;
    let headers = client.headers(request).await;
    assert!(headers.contains_key(AUTHORIZATION), "the rules are about signatures only");
    headers.contains_key(X_SIGNATURE)
}

#[tokio::test(start_paused = true)]
async fn rules_by_path_follow_the_syntax_of_matchit() {
    let rules = SignRules::paths(["/v1/reports/{kind}", "/v2/{*rest}", "/v3/a.b", "/{{x}}"]).unwrap();
    for path in ["/v1/reports/types", "/v1/reports/a%2Fb?c=d", "/v2/a", "/v2/a/b/", "/v3/a.b", "/{x}"] {
        assert!(is_signed(&rules, Method::PUT, path).await, "{path}");
    }
    for path in ["/", "/v1/reports", "/v1/reports/", "/v1/reports/a/b", "/v2", "/v2/", "/v3/axb", "/V1/reports/types"] {
        assert!(!is_signed(&rules, Method::GET, path).await, "{path}");
    }
    assert!(!is_signed(&SignRules::paths([""; 0]).unwrap(), Method::GET, "/").await, "no pattern, no signature");
}

#[tokio::test(start_paused = true)]
async fn rules_may_be_for_some_methods_only() {
    let rules = SignRules::paths(["/a"]).unwrap().only([Method::GET, Method::POST]);
    for method in [Method::GET, Method::POST] {
        assert!(is_signed(&rules, method.clone(), "/a").await);
        assert!(!is_signed(&rules, method, "/b").await);
    }
    assert!(!is_signed(&rules, Method::PUT, "/a").await);
    assert!(is_signed(&SignRules::all().only([Method::PUT]), Method::PUT, "/b").await);
    assert!(!is_signed(&SignRules::all().only([]), Method::GET, "/a").await);
    assert!(!is_signed(&rules.only([Method::PUT]), Method::GET, "/a").await, "the last word counts");
}

#[tokio::test(start_paused = true)]
async fn rules_may_be_a_function() {
    let rules = SignRules::matching(|method: &Method, uri: &Uri| {
        method == Method::GET && uri.query() == Some("sign") && uri.host() == Some("api.example.com")
    });
    assert!(is_signed(&rules, Method::GET, "/a?sign").await);
    assert!(!is_signed(&rules, Method::GET, "/a?sign=no").await);
    assert!(!is_signed(&rules, Method::POST, "/a?sign").await);
    assert!(!is_signed(&rules.only([Method::POST]), Method::GET, "/a?sign").await);
}

#[tokio::test(start_paused = true)]
async fn paynets_rules_are_the_documented_paths() {
    for path in ["/v1/reports/types", "/v1/reports/download", "/v2/reports/query", "/v2/reports/query?a=b"] {
        assert!(is_signed(&paynet::sign_rules(), Method::POST, path).await, "{path}");
    }
    for path in ["/token", "/v1/reports", "/v1/reports/types/a", "/v2/reports/query/", "/x/v1/reports/types"] {
        assert!(!is_signed(&paynet::sign_rules(), Method::GET, path).await, "{path}");
    }
}

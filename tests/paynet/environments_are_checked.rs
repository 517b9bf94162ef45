//! An environment has a name, or URLs that are checked where it is made.

use std::error::Error;

use proptest::prelude::*;
use tower_outbound_auth::{AuthError, ErrorKind, paynet::Environment};

const SECRET: &str = "pl4nted-s3cret";
const TOKEN_URL: &str = "https://login.example.com/token";

/// Holds the error to what every error of a setting promises, and to the advice that it gives.
fn refused(built: Result<Environment, AuthError>, advice: &str) {
    let error = built.unwrap_err();
    let (debug, text) = (format!("{error:?} {:?}", error.source()), error.to_string());
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Config, false), "{text}");
    assert!(text.contains(advice), "{text:?} should say: {advice}");
    assert!(!text.contains('\n') && !text.contains(SECRET) && !debug.contains(SECRET), "{debug}");
}

#[test]
fn an_environment_whose_urls_are_none_is_refused() {
    let api = "https://api.example.com";
    for url in ["", "token", "/token", "ftp://h/token", "https://h:65536/"] {
        refused(Environment::custom(url, api), "\"https://host\"");
    }
    refused(Environment::custom("https://user:pl4nted-s3cret@h/token", api), "remove them");
    refused(Environment::custom("http://h/token?key=pl4nted-s3cret", api), "use https");
    refused(Environment::custom(TOKEN_URL, "http://api.example.com"), "use https");
    refused(Environment::custom(TOKEN_URL, "https://api.example.com/"), "use \"https://api.example.com\"");
    refused(Environment::custom(TOKEN_URL, "https://user:pl4nted-s3cret@h"), "remove them");
    let custom = Environment::custom("http://127.0.0.1:1/token", "http://localhost:2").unwrap();
    assert_eq!((custom.token_url(), custom.api_origin()), ("http://127.0.0.1:1/token", "http://localhost:2"));
}

#[test]
fn an_environment_is_parsed_from_its_names_only() {
    assert_eq!("production".parse::<Environment>().unwrap(), Environment::production());
    assert_eq!("uat".parse::<Environment>().unwrap(), Environment::non_production());
    assert_eq!("non-production".parse::<Environment>().unwrap(), Environment::non_production());
    assert_ne!(Environment::production(), Environment::non_production());
    for name in ["", "prod", "Production", " production", "uat\n", SECRET] {
        refused(name.parse::<Environment>(), "must be production, non-production or uat");
    }
}

#[test]
fn an_environment_is_displayed_by_the_name_that_it_is_parsed_from() {
    for environment in [Environment::production(), Environment::non_production()] {
        assert_eq!(environment.to_string().parse::<Environment>().unwrap(), environment);
    }
    assert_eq!(Environment::production().to_string(), "production");
    assert_eq!(Environment::non_production().to_string(), "non-production");
    let custom = Environment::custom("https://login.example.com/token", "https://api.example.com").unwrap();
    assert_eq!(custom.to_string(), "https://api.example.com");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_an_environment_panic(text in "\\PC{0,24}", raw in any::<String>()) {
        for text in [text.as_str(), raw.as_str(), &format!("https://{text}"), &format!("https://a.example:{raw}")] {
            for built in [Environment::custom(text, text), text.parse()] {
                prop_assert!(built.err().is_none_or(|error| error.kind() == ErrorKind::Config));
            }
        }
    }
}

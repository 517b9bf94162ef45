//! Settings that an `HttpsClient` takes from its environment: proxies, and the system's certificate store.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::{env, process::Command};

#[cfg(all(feature = "native-roots", target_os = "linux"))]
use crate::{authenticated::TestResult, support::authority::Authority};
use tower_outbound_auth::client::HttpsClient;

/// Runs a test of this file, one that is otherwise ignored, in a process with these variables and no other proxy.
fn in_an_environment(test: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    let here = module_path!().split_once("::").map_or("", |(_, module)| module);
    command.args(["--exact", &format!("{here}::{test}"), "--ignored", "--nocapture", "--test-threads=1"]);
    for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    printed
}

#[test]
#[ignore = "run with an environment by the test below"]
fn child_shows_the_proxies_of_its_environment() {
    match HttpsClient::builder().proxy_credentials("user", "pl4nted").proxy_from_env().build() {
        Ok(client) => println!("{client:?}"),
        Err(error) => println!("{error} {error:?}"),
    }
    if let Ok(client) = HttpsClient::builder().build() {
        println!("without: {client:?}");
    }
}

#[test]
fn the_environment_is_read_where_that_is_asked_for() {
    let shown = |variables: &[(&str, &str)]| in_an_environment("child_shows_the_proxies_of_its_environment", variables);
    for (variables, https, http) in [
        (&[][..], "None", "None"),
        (&[("HTTPS_PROXY", "http://u:pl4nted@a:1")], "Some(\"http://a:1\")", "None"),
        (&[("https_proxy", "a:1"), ("ALL_PROXY", "http://b:2")], "Some(\"http://a:1\")", "Some(\"http://b:2\")"),
    ] {
        let shown = shown(variables);
        assert!(shown.contains(&format!("https_proxy: {https}, http_proxy: {http}")), "{shown}");
        assert!(shown.contains("without: ") && !shown.contains("pl4nted"), "{shown}");
        assert!(shown.split("without: ").nth(1).is_some_and(|rest| rest.contains("https_proxy: None")), "{shown}");
    }
    let shown = shown(&[("ALL_PROXY", "socks5://u:pl4nted@a:1080")]);
    assert!(shown.contains("the environment variable ALL_PROXY") && !shown.contains("pl4nted"), "{shown}");
}

#[cfg(all(feature = "native-roots", target_os = "linux"))]
#[test]
#[ignore = "run with an environment by the test below"]
fn child_trusts_the_store_of_its_system() {
    match HttpsClient::builder().native_roots().build() {
        Ok(client) => println!("{client:?}"),
        Err(error) => println!("{:?} {error}", error.kind()),
    }
}

#[cfg(all(feature = "native-roots", target_os = "linux"))]
#[test]
fn the_systems_store_is_trusted_where_that_is_asked_for() -> TestResult {
    let folder = env::temp_dir().join(format!("auth-native-roots-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (full, empty) = (folder.join("full.pem"), folder.join("empty.pem"));
    std::fs::write(&full, format!("{}{}", Authority::new()?.pem(), Authority::called("another")?.pem()))?;
    std::fs::write(&empty, "")?;
    let shown = |store: &std::path::Path| {
        in_an_environment("child_trusts_the_store_of_its_system", &[("SSL_CERT_FILE", store.to_str().unwrap())])
    };
    let (of_full, of_empty) = (shown(&full), shown(&empty));
    std::fs::remove_dir_all(&folder)?;
    assert!(of_full.contains("roots: 2,"), "its own, and not Mozilla's: {of_full}");
    assert!(of_empty.contains("Config `native_roots`: the system's certificate store"), "{of_empty}");
    Ok(())
}

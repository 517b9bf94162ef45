//! A company's network: the environment names the proxy and what is reached without it, the store of the machine has the
//! company's authority, and the proxy allows tunnels to port 443 only.

#[cfg(all(feature = "native-roots", target_os = "linux"))]
use std::{
    env, fs,
    process::{Command, Output},
};

use std::time::Duration;

use http::Version;
use tower_outbound_auth::{ErrorKind, client::HttpsClient};

use super::{
    TestResult,
    backend::Backend,
    forward::{Tinyproxy, servers},
    nginx::HERE_FOR_A_PROXY,
    user::{User, trusting},
};

#[tokio::test]
#[ignore = "takes tinyproxy"]
async fn plain_http_goes_through_a_proxy_that_allows_tunnels_to_port_443_only() -> TestResult {
    let backend = Backend::default();
    let origin = format!("http://{HERE_FOR_A_PROXY}:{}", backend.start(None).await?.port());
    for settings in ["ConnectPort 443", "ConnectPort 443\nBasicAuth user open-sesame"] {
        let (before, proxy) = (backend.seen(), Tinyproxy::start(settings)?);
        // It closes each connection after a response and does not announce it, so that a call could be sent meanwhile.
        let transport = proxy.before(HttpsClient::builder()).pool_idle_timeout(Duration::ZERO);
        let needs_credentials = settings.contains("BasicAuth");
        if needs_credentials {
            // It closes the connection before it has read the body, so that its 407 may be lost.
            let error = User::new(transport.clone(), &origin)?.failure().await?;
            assert_eq!((error.kind(), backend.seen().token_requests), (ErrorKind::Unavailable, before.token_requests));
        }
        let transport = if needs_credentials { transport.proxy_credentials("user", "open-sesame") } else { transport };
        let user = User::new(transport, &origin)?;
        for number in 0..6 {
            if number == 3 {
                backend.revoke();
            }
            let answer = user.call().await?;
            assert_eq!((answer.status, answer.body.as_str()), (200, "hello"), "{}", answer.body);
        }
        let seen = backend.seen();
        assert_eq!((seen.token_requests - before.token_requests, seen.calls - before.calls), (2, 7));
        assert_eq!(proxy.asked(), [""; 0], "no tunnel");
        assert!(proxy.asked_by("GET").iter().all(|url| *url == format!("{origin}/api")), "{:?}", proxy.asked_by("GET"));
        assert!(proxy.asked_by("POST").iter().all(|url| *url == format!("{origin}/token")));
        assert!(!proxy.asked_by("GET").is_empty() && !proxy.asked_by("POST").is_empty());
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes nginx"]
async fn http_1_is_spoken_with_a_server_that_offers_http_2_where_that_is_set() -> TestResult {
    let (_backend, nginx) = servers().await?;
    let origin = format!("https://localhost:{}", nginx.http2);
    for (transport, version) in
        [(trusting(&nginx.root), Version::HTTP_2), (trusting(&nginx.root).http1_only(), Version::HTTP_11)]
    {
        let answer = User::new(transport, &origin)?.call().await?;
        assert_eq!((answer.status, answer.version), (200, version));
    }
    Ok(())
}

/// Runs the test below in a process with these variables, and no other proxies and certificates than theirs.
#[cfg(all(feature = "native-roots", target_os = "linux"))]
fn in_an_environment(variables: &[(&str, &str)]) -> Result<Output, std::io::Error> {
    let mut command = Command::new(env::current_exe()?);
    let here = module_path!().split_once("::").map_or("", |(_, module)| module);
    let test = format!("{here}::child_calls_by_what_its_environment_says");
    command.args(["--exact", &test, "--ignored", "--nocapture", "--test-threads=1"]);
    for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(variables.iter().copied()).output()
}

#[cfg(all(feature = "native-roots", target_os = "linux"))]
#[tokio::test]
#[ignore = "run with an environment by the tests here; without one there is nothing to do"]
async fn child_calls_by_what_its_environment_says() -> TestResult {
    let Ok(origin) = env::var(ORIGIN) else { return Ok(()) };
    let transport = HttpsClient::builder().proxy_from_env().native_roots();
    let answer = User::new(transport, &origin)?.call().await?;
    println!("answered {} {}", answer.status, answer.body);
    Ok(())
}

#[cfg(all(feature = "native-roots", target_os = "linux"))]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes nginx and tinyproxy"]
async fn the_environment_names_the_proxy_and_its_exceptions_and_the_machine_the_authority() -> TestResult {
    let (backend, nginx) = servers().await?;
    let plain = format!("http://{HERE_FOR_A_PROXY}:{}", backend.start(None).await?.port());
    let over_tls = format!("https://{HERE_FOR_A_PROXY}:{}", nginx.http2);
    let (store, host) = (env::temp_dir().join(format!("auth-store-{}", std::process::id())), "::ffff:127.0.0.1");
    fs::write(&store, &nginx.root)?;
    let (right, wrong) = ("user:open-sesame@", "user:wrong@");
    for (origin, variable, credentials, no_proxy, is_proxied, is_served) in [
        (&over_tls, "HTTPS_PROXY", right, "", true, true),
        (&over_tls, "https_proxy", right, "example.com,10.0.0.0/8", true, true),
        (&over_tls, "ALL_PROXY", right, "", true, true),
        (&over_tls, "HTTPS_PROXY", wrong, "", true, false),
        (&over_tls, "HTTPS_PROXY", wrong, host, false, true),
        (&over_tls, "HTTPS_PROXY", wrong, "*", false, true),
        (&plain, "ALL_PROXY", right, "", true, true),
        (&plain, "ALL_PROXY", wrong, host, false, true),
        (&plain, "HTTPS_PROXY", right, "", false, true),
    ] {
        let proxy = Tinyproxy::start("BasicAuth user open-sesame")?;
        let url = proxy.url().replace("://", &format!("://{credentials}"));
        let store = store.to_str().unwrap_or_default();
        let variables = [(ORIGIN, origin.as_str()), (variable, &url), ("NO_PROXY", no_proxy), ("SSL_CERT_FILE", store)];
        let output = in_an_environment(&variables)?;
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed.contains("answered 200 hello"), is_served, "{variables:?}: {printed}");
        let asked = proxy.daemon.read("tinyproxy.log").contains(HERE_FOR_A_PROXY);
        assert_eq!(asked, is_proxied, "{variables:?}: {}", proxy.daemon.read("tinyproxy.log"));
    }
    fs::remove_file(store)?;
    Ok(())
}

/// The variable that tells the child where to call.
#[cfg(all(feature = "native-roots", target_os = "linux"))]
const ORIGIN: &str = "AUTH_TEST_ORIGIN";

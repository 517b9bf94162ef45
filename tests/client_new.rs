//! `HttpsClient`: its pool, its proxies, the environment's settings, and the connections that a grant has for itself.
#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[path = "support/authority.rs"]
mod authority;
#[expect(dead_code, reason = "this file uses some of it")]
#[path = "transports/connect_proxy.rs"]
mod connect_proxy;
#[path = "support/server.rs"]
mod server;
mod support;

use std::{env, process::Command, time::Duration};

use authority::{Authority, BANK, H2_AND_H1};
use bytes::Bytes;
use connect_proxy::ConnectProxy;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use server::Server;
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    AuthError, BoxError, Credentials, ErrorKind,
    client::{HttpsClient, HttpsClientBuilder},
    oauth::ClientCredentialsGrant,
    token::{FetchRequest, TokenSource},
};

type TestResult = Result<(), BoxError>;

fn trusting(authority: &Authority) -> HttpsClientBuilder {
    HttpsClient::builder().root_certificates(authority.pem())
}

fn grant(origin: &str, client: &HttpsClient) -> Result<ClientCredentialsGrant, AuthError> {
    let credentials = Credentials::new("client", "secret");
    ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials).transport(client.clone()).build()
}

/// Asks the API, and reads the response to its end.
async fn call(client: &HttpsClient, origin: &str) -> Result<Version, BoxError> {
    let request = Request::get(format!("{origin}/reports")).body(Full::<Bytes>::default())?;
    let response = client.clone().oneshot(request).await?;
    let version = response.version();
    response.into_body().collect().await?;
    Ok(version)
}

#[tokio::test]
async fn connections_are_pooled_unless_they_are_not_to_be() -> TestResult {
    for protocols in [H2_AND_H1, &H2_AND_H1[1..]] {
        for (settings, expected) in [
            ((|builder| builder) as fn(HttpsClientBuilder) -> HttpsClientBuilder, 1),
            (|builder| builder.pool_idle_timeout(Duration::MAX), 1),
            (|builder| builder.pool_idle_timeout(Duration::ZERO), 3),
        ] {
            let (server, authority) = (Server::new(), Authority::new()?);
            let origin = authority.listen(server.clone(), protocols, None).await?;
            let client = settings(trusting(&authority)).build()?;
            for _ in 0..3 {
                call(&client, &origin).await?;
            }
            assert_eq!(server.connections(), expected);
        }
    }
    Ok(())
}

#[tokio::test]
async fn r9_a_grant_shares_no_connection_with_the_client_it_was_given_and_keeps_none() -> TestResult {
    for protocols in [H2_AND_H1, &H2_AND_H1[1..]] {
        let (server, authority) = (Server::new(), Authority::new()?);
        let origin = authority.listen(server.clone(), protocols, None).await?;
        let client = trusting(&authority).build()?;
        let grant = grant(&origin, &client)?;
        call(&client, &origin).await?;
        assert_eq!(server.connections(), 1);
        for expected in [2, 3] {
            grant.fetch(FetchRequest::new()).await?;
            assert_eq!(server.connections(), expected, "each token request opens its own");
        }
        call(&client, &origin).await?;
        assert_eq!(server.connections(), 3, "the client's own is still there");
    }
    Ok(())
}

#[tokio::test]
async fn r9_a_client_in_layers_is_used_as_it_is() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
    let client = ServiceBuilder::new().map_err(|error: BoxError| error).service(trusting(&authority).build()?);
    let credentials = Credentials::new("client", "secret");
    let grant = ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials).transport(client).build()?;
    for _ in 0..3 {
        grant.fetch(FetchRequest::new()).await?;
    }
    assert_eq!(server.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn http_1_only_is_spoken_where_that_is_set() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
    assert_eq!(call(&trusting(&authority).build()?, &origin).await?, Version::HTTP_2);
    assert_eq!(call(&trusting(&authority).http1_only().build()?, &origin).await?, Version::HTTP_11);
    Ok(())
}

#[tokio::test]
async fn a_client_without_settings_trusts_mozillas_roots_alone() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
    let client = HttpsClient::new()?;
    let shown = format!("{client:?}");
    assert!(shown.contains("pool_idle_timeout: 90s") && shown.contains("https_proxy: None"), "{shown}");
    call(&client, &origin).await.unwrap_err();
    let error = grant(&origin, &client)?.fetch(FetchRequest::new()).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains(&format!("the authorization server at {origin} cannot be reached: ")), "{told}");
    assert!(told.contains("`root_certificates` of `HttpsClientBuilder`"), "{told}");
    Ok(())
}

#[tokio::test]
async fn hosts_in_no_proxy_are_reached_without_the_proxy() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let address = authority.acceptor(H2_AND_H1, Authority::nobody())?.serve(server.clone(), None).await?;
    for (list, is_proxied) in
        [("", true), ("bank.example:8443, 10.0.0.0/8", true), (".bank.example", false), ("*", false)]
    {
        let proxy = ConnectProxy::to(address);
        let url = format!("http://{}", proxy.listen().await?);
        let client = trusting(&authority).proxy(&url).no_proxy(list).build()?;
        let fetched = grant(&format!("https://{BANK}"), &client)?.fetch(FetchRequest::new()).await;
        assert_eq!((fetched.is_ok(), proxy.asked().len()), (is_proxied, usize::from(is_proxied)), "{list}");
        let told = fetched.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(!told.contains("proxy"), "{told}");
    }
    Ok(())
}

#[test]
fn an_entry_of_no_proxy_that_names_no_host_is_refused() {
    for entry in ["http://a.example", "10.0.0.0/33", "a.example:x"] {
        let error = HttpsClient::builder().no_proxy(&format!("b.example,{entry}")).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("`no_proxy`") && error.to_string().contains(entry), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_told_apart() -> TestResult {
    let proxy = ConnectProxy::to(([127, 0, 0, 1], 1).into()).answering("407 Proxy Authentication Required");
    let client = HttpsClient::builder().proxy(&format!("http://{}", proxy.listen().await?)).build()?;
    let error = grant(&format!("https://{BANK}"), &client)?.fetch(FetchRequest::new()).await.unwrap_err();
    assert!(error.to_string().ends_with("which asks for credentials: set `proxy_credentials`"), "{error}");
    Ok(())
}

/// Runs a test of this file, one that is otherwise ignored, in a process with these variables and no other proxy.
fn in_an_environment(test: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
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

#[cfg(feature = "native-roots")]
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

//! tinyproxy as the only way out, for tokens and for the API.

use std::{fs, io};

use tower_outbound_auth::{BoxError, ErrorKind, client::HttpsClientBuilder};

use super::{
    TestResult,
    backend::Backend,
    daemon::{Daemon, free_port},
    nginx::{HERE_FOR_A_PROXY, Nginx},
    user::{SECRET, User, trusting},
};

pub(crate) struct Tinyproxy {
    pub(crate) daemon: Daemon,
    port: u16,
}

impl Tinyproxy {
    pub(crate) fn start(settings: &str) -> io::Result<Self> {
        Self::start_at(free_port()?, settings)
    }

    fn start_at(port: u16, settings: &str) -> io::Result<Self> {
        let config =
            format!("Port {port}\nListen 127.0.0.1\nLogFile \"tinyproxy.log\"\nLogLevel Connect\n{settings}\n");
        let program = ["tinyproxy", "-d", "-c", "tinyproxy.conf"];
        let daemon = Daemon::start(&program, port, |folder| fs::write(folder.join("tinyproxy.conf"), config))?;
        Ok(Self { daemon, port })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn before(&self, transport: HttpsClientBuilder) -> HttpsClientBuilder {
        transport.proxy(&self.url())
    }

    /// The tunnels that it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked_by("CONNECT")
    }

    /// What it was asked for by requests of this method.
    pub(crate) fn asked_by(&self, method: &str) -> Vec<String> {
        let (log, start) = (self.daemon.read("tinyproxy.log"), format!("): {method} "));
        let lines = log.lines().filter_map(|line| line.split_once(&start)?.1.split_once(' '));
        lines.map(|(server, _)| server.to_owned()).collect()
    }
}

#[tokio::test]
#[ignore = "takes nginx and tinyproxy"]
async fn tokens_and_calls_go_through_its_tunnels() -> TestResult {
    let (backend, nginx) = servers().await?;
    for port in [nginx.http1, nginx.http2] {
        for settings in ["", "BasicAuth user open-sesame"] {
            let before = backend.seen();
            let proxy = Tinyproxy::start(settings)?;
            let transport = proxy.before(trusting(&nginx.root));
            let transport =
                if settings.is_empty() { transport } else { transport.proxy_credentials("user", "open-sesame") };
            let user = User::new(transport, &format!("https://{HERE_FOR_A_PROXY}:{port}"))?;
            for number in 0..6 {
                if number == 3 {
                    backend.revoke();
                }
                assert_eq!(user.call().await?.status, 200);
            }
            let seen = backend.seen();
            assert_eq!((seen.token_requests - before.token_requests, seen.calls - before.calls), (2, 7));
            let asked = proxy.asked();
            assert!((1..=3).contains(&asked.len()), "{asked:?}");
            assert!(asked.iter().all(|server| *server == format!("{HERE_FOR_A_PROXY}:{port}")), "{asked:?}");
            assert!(!proxy.daemon.read("tinyproxy.log").contains(SECRET));
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes nginx and tinyproxy"]
async fn a_proxy_that_refuses_is_named_and_the_servers_hear_nothing() -> TestResult {
    let (backend, nginx) = servers().await?;
    let origin = format!("https://{HERE_FOR_A_PROXY}:{}", nginx.http2);
    for settings in ["BasicAuth user open-sesame", "ConnectPort 443"] {
        let proxy = Tinyproxy::start(settings)?;
        let user = User::new(proxy.before(trusting(&nginx.root)).proxy_credentials("user", "wrong"), &origin)?;
        let error = user.failure().await?;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        let named = format!("no connection through the proxy at http://127.0.0.1:{}", proxy.port);
        assert!(error.to_string().ends_with(&named), "{error}");
    }
    assert_eq!((backend.seen().token_requests, nginx.answered("/token").len()), (0, 0));
    Ok(())
}

#[tokio::test]
#[ignore = "takes nginx and tinyproxy"]
async fn a_proxy_that_was_away_is_used_again() -> TestResult {
    let (backend, nginx) = servers().await?;
    let proxy = Tinyproxy::start("")?;
    let user = User::new(proxy.before(trusting(&nginx.root)), &format!("https://{HERE_FOR_A_PROXY}:{}", nginx.http1))?;
    assert_eq!(user.call().await?.status, 200);
    let port = proxy.port;
    drop(proxy);
    assert!(user.call().await.is_err(), "an answer without a way");
    assert_eq!(user.handle.refresh().await.err().map(|error| error.kind()), Some(ErrorKind::Unavailable));
    let _proxy = Tinyproxy::start_at(port, "")?;
    assert_eq!((user.call().await?.status, backend.seen().token_requests), (200, 1));
    Ok(())
}

pub(crate) async fn servers() -> Result<(Backend, Nginx), BoxError> {
    let backend = Backend::default();
    let nginx = Nginx::before(backend.start(None).await?, "")?;
    Ok((backend, nginx))
}

//! Apache: as a server that repeats the headers of `TRACE`, and as a forward proxy that is reached over TLS.

use std::{fs, io, path::Path, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials, ErrorKind,
    client::HttpsClientBuilder,
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, source_fn},
};

use super::{
    TestResult,
    backend::Backend,
    daemon::{Daemon, free_port},
    nginx::{HERE_FOR_A_PROXY, Nginx},
    user::{SECRET, User, trusting},
};
use crate::support::authority::Authority;

struct Apache {
    daemon: Daemon,
    authority: Authority,
    port: u16,
}

impl Apache {
    fn start(modules: &[&str], settings: &str) -> Result<Self, BoxError> {
        let (port, authority) = (free_port()?, Authority::new()?);
        let identity = authority.identity(&["localhost"])?;
        let modules: String =
            [&["mpm_event", "authz_core"], modules].concat().iter().map(|name| module(name)).collect();
        let configure = |folder: &Path| -> io::Result<()> {
            fs::write(folder.join("server.pem"), identity.certificate_pem())?;
            fs::write(folder.join("server.key"), identity.key_pem())?;
            fs::write(folder.join("users"), USERS)?;
            fs::write(folder.join("apache.conf"), format!("Listen 127.0.0.1:{port}\n{modules}{CONFIG}{settings}"))
        };
        let program = ["apache2", "-d", ".", "-f", "apache.conf", "-D", "FOREGROUND"];
        Ok(Self { daemon: Daemon::start(&program, port, configure)?, authority, port })
    }

    /// A proxy that asks for a name and a password.
    fn proxy(nginx: &Nginx) -> Result<Self, BoxError> {
        let modules = ["ssl", "proxy", "proxy_connect", "authn_core", "authn_file", "auth_basic", "authz_user"];
        Self::start(&modules, &format!("AllowCONNECT {} {}\n{PROXY}", nginx.http1, nginx.http2))
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn before(&self, nginx: &Nginx, password: &str) -> HttpsClientBuilder {
        let roots = format!("{}{}", nginx.root, self.authority.pem());
        trusting(&roots).proxy(&self.url()).proxy_credentials("user", password)
    }

    /// For each request its line, its `Authorization` and the status of the response.
    fn log(&self) -> Vec<String> {
        self.daemon.read("access.log").lines().map(str::to_owned).collect()
    }
}

fn module(name: &str) -> String {
    format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
}

/// The body of the response, which repeats the request's headers if it is one to `TRACE`.
async fn body<S, RB>(client: &S, method: Method, uri: &str, own: &'static str) -> Result<(StatusCode, String), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<RB>, Error: Into<BoxError>> + Clone,
    RB: http_body::Body<Data: std::fmt::Debug, Error: Into<BoxError>>,
{
    let mut request = Request::builder().method(method).uri(uri).body(Full::default())?;
    if !own.is_empty() {
        request.headers_mut().insert(AUTHORIZATION, http::HeaderValue::from_static(own));
    }
    let response = client.clone().oneshot(request).await.map_err(Into::into)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).to_ascii_lowercase()))
}

#[tokio::test]
#[ignore = "takes Apache (apache2)"]
async fn s3_a_server_that_repeats_the_headers_of_trace_has_none_of_ours_to_repeat() -> TestResult {
    let apache = Apache::start(&[], "TraceEnable on\n")?;
    let uri = format!("http://localhost:{}/", apache.port);
    let plain = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let (status, repeated) = body(&plain, Method::TRACE, &uri, "Bearer own").await?;
    assert!(
        status == 200 && repeated.contains("authorization: bearer own"),
        "it repeats no header: {status} {repeated}"
    );

    let layer = AuthLayer::builder(source_fn(|_| async { AccessToken::new("token-of-ours", None) }))
        .origin(&uri[..uri.len() - 1])
        .sign(SignRules::all(), TimestampHmac::sha256(Credentials::new("id", "a key")))
        .build()?;
    let client = layer.layer(plain);
    for method in [Method::GET, Method::from_bytes(b"trace")?, Method::from_bytes(b"Trace")?, Method::TRACE] {
        let is_trace = method == Method::TRACE;
        let (status, repeated) = body(&client, method.clone(), &uri, "").await?;
        assert!(!is_trace || status == 200, "{status}");
        for word in ["authorization", "token-of-ours", "x-signature", "x-timestamp"] {
            assert!(!repeated.contains(word), "{method}: {repeated}");
        }
    }
    let log = apache.log();
    assert!(log.iter().any(|line| line.starts_with("GET / HTTP/1.1|Bearer token-of-ours|")), "{log:?}");
    assert!(log.iter().any(|line| line == "TRACE / HTTP/1.1|-|200"), "{log:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "takes nginx and Apache (apache2)"]
async fn s3_a_proxy_over_tls_makes_tunnels_and_sees_no_credential_but_its_own() -> TestResult {
    let backend = Backend::default();
    let nginx = Nginx::before(backend.start(None).await?, "")?;
    for port in [nginx.http1, nginx.http2] {
        let (before, apache) = (backend.seen(), Apache::proxy(&nginx)?);
        let server = format!("{HERE_FOR_A_PROXY}:{port}");
        let user = User::new(apache.before(&nginx, "open-sesame"), &format!("https://{server}"))?;
        for number in 0..6 {
            if number == 3 {
                backend.revoke();
            }
            assert_eq!(user.call().await?.status, 200);
        }
        let seen = backend.seen();
        assert_eq!((seen.token_requests - before.token_requests, seen.calls - before.calls), (2, 7));
        // It writes a line when a tunnel ends, as those of token requests have.
        while apache.log().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let files = format!("{}{}", apache.daemon.read("error.log"), apache.log().concat());
        for secret in [SECRET, "token-", "open-sesame"] {
            assert!(!files.contains(secret), "{files}");
        }
        let tunnel = format!("CONNECT {server} HTTP/1.1|-|200");
        assert!(apache.log().iter().all(|line| *line == tunnel), "{:?}", apache.log());
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes nginx and Apache (apache2)"]
async fn a_proxy_over_tls_that_refuses_or_is_not_trusted_is_named_and_gets_no_secret() -> TestResult {
    let backend = Backend::default();
    let nginx = Nginx::before(backend.start(None).await?, "")?;
    let apache = Apache::proxy(&nginx)?;
    let origin = format!("https://{HERE_FOR_A_PROXY}:{}", nginx.http2);
    let named = format!("no connection through the proxy at {}", apache.url());
    // Of an authority that is not trusted: it is told nothing, not even its own password.
    let stranger = trusting(&nginx.root).proxy(&apache.url()).proxy_credentials("user", "open-sesame");
    let error = User::new(stranger, &origin)?.failure().await?;
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains(&named), "{error:?}");
    assert_eq!(apache.log(), [""; 0]);
    let error = User::new(apache.before(&nginx, "wrong"), &origin)?.failure().await?;
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains(&named), "{error:?}");
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    assert_eq!((backend.seen().token_requests, nginx.answered("/token").len()), (0, 0));
    Ok(())
}

const CONFIG: &str = "
ServerName localhost
PidFile apache.pid
User www-data
Group www-data
ErrorLog error.log
LogFormat \"%r|%{Authorization}i|%>s\" seen
CustomLog access.log seen
";
const PROXY: &str = "
SSLEngine on
SSLCertificateFile server.pem
SSLCertificateKeyFile server.key
ProxyRequests on
<Proxy \"*\">
    AuthType Basic
    AuthName proxy
    AuthBasicProvider file
    AuthUserFile users
    Require valid-user
</Proxy>
";
/// The password is `open-sesame`, as `htpasswd -s` writes it.
const USERS: &str = "user:{SHA}piGucRdTwGb7+i3S1svNik60+fw=\n";

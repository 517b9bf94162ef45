//! nginx with several virtual hosts, on one address and with one certificate: which of them a request gets to.

use std::{future::ready, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, Credentials,
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, source_fn},
};

use super::{TestResult, nginx::Nginx};

type Https = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, legacy::Error>;

/// Which tenant responded, and the credentials that it got.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    tenant: String,
    credentials: Vec<String>,
}

async fn ask<S, RB>(client: &S, uri: &str, hosts: &[&str], own: Option<&'static str>) -> Result<Answer, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>, Error: Into<BoxError>> + Clone,
    RB: http_body::Body<Data: std::fmt::Debug, Error: Into<BoxError>>,
{
    let mut request = Request::get(uri).body(Full::default())?;
    for host in hosts {
        request.headers_mut().append(HOST, HeaderValue::from_str(host)?);
    }
    if let Some(own) = own {
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static(own));
    }
    let exchange = async {
        let response = client.clone().oneshot(request).await.map_err(Into::into)?;
        let is_tenants = response.status() == 200;
        let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok::<_, BoxError>(if is_tenants { body } else { "none".to_owned() })
    };
    let body = timeout(Duration::from_secs(20), exchange).await??;
    let mut words = body.split_whitespace().map(str::to_owned);
    Ok(Answer { tenant: words.next().unwrap_or_default(), credentials: words.collect() })
}

/// Finds this machine by every name.
fn client(root: &str, http2: bool) -> Result<Https, BoxError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let resolver =
        service_fn(|_name: Name| ready(Ok::<_, std::io::Error>([SocketAddr::from(([127, 0, 0, 1], 0))].into_iter())));
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    let connector =
        if http2 { builder.enable_http2().wrap_connector(http) } else { builder.enable_http1().wrap_connector(http) };
    Ok(Https::new(Client::builder(TokioExecutor::new()).http2_only(http2).build(connector)))
}

/// With all that it can write.
fn layer(origin: &str) -> Result<AuthLayer, AuthError> {
    AuthLayer::builder(source_fn(|_| async { AccessToken::new("token-of-the-bank", None) }))
        .origin(origin)
        .header(HeaderName::from_static("x-static"), HeaderValue::from_static("static-of-the-bank"))
        .sign(SignRules::all(), TimestampHmac::sha256(Credentials::new("id", "a key")))
        .build()
}

#[tokio::test]
#[ignore = "takes nginx"]
async fn s3_a_host_or_a_user_name_that_picks_another_tenant_takes_no_credential_there() -> TestResult {
    let nginx = Nginx::with_tenants(&[BANK, OTHER], &["authorization", "x-static", "x-signature"])?;
    let mut picked = 0;
    for (port, http2) in [(nginx.http1, false), (nginx.http2, true)] {
        let origin = format!("https://{BANK}:{port}");
        let plain = client(&nginx.root, http2)?;
        let authenticated = layer(&origin)?.layer(plain.clone());
        let uri = format!("{origin}/a");
        let named = format!("{BANK}:{port}");
        // Beside `:authority` this nginx lets no `Host` pass, not even the same.
        for hosts in [&[][..], &[named.as_str()]].into_iter().take(if http2 { 1 } else { 2 }) {
            let own = ask(&authenticated, &uri, hosts, None).await?;
            assert_eq!((own.tenant.as_str(), own.credentials.len()), (BANK, 4), "{own:?}");
            assert_eq!(own.credentials[1..3], ["token-of-the-bank", "static-of-the-bank"]);
        }
        let (with_port, with_user) = (format!("{OTHER}:{port}"), format!("{BANK}@{OTHER}"));
        let hosts = [
            &[OTHER][..],
            &[&with_port],
            &[&with_user],
            &["OTHER.example"],
            &[BANK, OTHER],
            &[OTHER, BANK],
            &["nobody.example"],
        ];
        // Over HTTP/2 the one with a port picks a tenant of this nginx too.
        let users = [OTHER.to_owned(), format!("{OTHER}:{port}"), format!("{OTHER}:{BANK}"), String::new()];
        let users = users.map(|user| format!("https://{user}@{BANK}:{port}/a"));
        let cases = hosts.into_iter().map(|hosts| (&uri, hosts)).chain(users.iter().map(|uri| (uri, &[][..])));
        for (uri, hosts) in cases {
            let case = format!("{uri}, {hosts:?}, HTTP/2: {http2}");
            // What nginx makes of it, by a caller who has a token of its own.
            let control = ask(&plain, uri, hosts, Some("own")).await?;
            let answer = ask(&authenticated, uri, hosts, None).await?;
            assert_eq!((&answer.tenant, answer.credentials.len()), (&control.tenant, 0), "{case}: {answer:?}");
            picked += usize::from(control == Answer { tenant: OTHER.to_owned(), credentials: vec!["own".to_owned()] });
        }
    }
    assert!(picked >= 3, "{picked} requests got to the other tenant, with the token of their caller");
    Ok(())
}

const BANK: &str = "bank.example";
const OTHER: &str = "other.example";

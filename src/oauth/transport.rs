//! The ready-made HTTPS client for token requests.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::error::AuthError;

/// Hyper-util's client over rustls with ring and Mozilla's roots; HTTP/1.1 or HTTP/2 as the server has it.
///
/// It keeps no connection: there is one token request in a lifetime of a token, and a connection would outlive neither
/// the idle timeouts on its way nor the runtime that it was made in.
pub(crate) fn client() -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, AuthError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| AuthError::config("setting up TLS failed").with_source(error))?
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https))
}

/// Shared by the addresses of a host, so that one that does not answer leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

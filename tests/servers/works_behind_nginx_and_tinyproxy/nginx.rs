//! nginx as a reverse proxy that ends TLS, with a certificate of a private authority.

use std::{fs, io, net::SocketAddr, path::Path, thread, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tower_outbound_auth::BoxError;

use super::daemon::{Daemon, free_port};

pub(crate) struct Nginx {
    daemon: Daemon,
    /// The private authority, PEM.
    pub(crate) root: String,
    /// Speaks HTTP/1.1.
    pub(crate) http1: u16,
    /// Speaks HTTP/2, and HTTP/1.1 with who does not.
    pub(crate) http2: u16,
}

impl Nginx {
    /// In front of this server, with more settings for each of its servers.
    pub(crate) fn before(backend: SocketAddr, settings: &str) -> Result<Self, BoxError> {
        let names = ["localhost", HERE_FOR_A_PROXY.trim_matches(['[', ']'])];
        let location = format!(
            "{settings}
            location / {{
                proxy_pass http://{backend};
                proxy_read_timeout 1s;
                proxy_set_header X-Connection \"$connection $connection_requests\";
            }}"
        );
        Self::start(&names, |port, protocol| server(port, protocol, &location))
    }

    /// Virtual hosts of these names, on the same address. Each responds with its name and the values of these headers.
    pub(crate) fn with_tenants(names: &[&str], headers: &[&str]) -> Result<Self, BoxError> {
        let values: Vec<_> = headers.iter().map(|name| format!(" $http_{}", name.replace('-', "_"))).collect();
        let values = values.concat();
        Self::start(names, |port, protocol| {
            let host = |name: &&str| {
                let settings = format!("server_name {name}; location / {{ return 200 \"{name}{values}\"; }}");
                server(port, protocol, &settings)
            };
            names.iter().map(host).collect()
        })
    }

    fn start(names: &[&str], servers: impl Fn(u16, &str) -> String) -> Result<Self, BoxError> {
        let root = CertifiedIssuer::self_signed(authority(), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names)?.signed_by(&key, &root)?;
        let (http1, http2) = (free_port()?, free_port()?);
        let configure = |folder: &Path| -> io::Result<()> {
            fs::write(folder.join("server.pem"), pem("CERTIFICATE", certificate.der()))?;
            fs::write(folder.join("server.key"), pem("PRIVATE KEY", key.serialized_der()))?;
            let servers = servers(http1, "") + &servers(http2, " http2");
            fs::write(folder.join("nginx.conf"), CONFIG.replace("SERVERS", &servers))
        };
        let program = ["nginx", "-p", ".", "-c", "nginx.conf", "-e", "error.log"];
        let daemon = Daemon::start(&program, http2, configure)?;
        Ok(Self { daemon, root: pem("CERTIFICATE", root.der()), http1, http2 })
    }

    /// The status of each answer, its own or the backend's, for one path.
    pub(crate) fn answered(&self, path: &str) -> Vec<String> {
        // It writes a line after the answer has gone.
        thread::sleep(Duration::from_millis(100));
        let log = self.daemon.read("access.log");
        log.lines().filter_map(|line| line.strip_prefix(path)?.strip_prefix(' ')).map(str::to_owned).collect()
    }
}

fn authority() -> CertificateParams {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
}

fn server(port: u16, protocol: &str, settings: &str) -> String {
    format!(
        "server {{
            listen 127.0.0.1:{port} ssl{protocol};
            ssl_certificate server.pem;
            ssl_certificate_key server.key;
            {settings}
        }}
        "
    )
}

/// RFC 7468, section 2.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// One process, which a guard can end.
const CONFIG: &str = "
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 512; }
http {
    log_format status '$uri $status';
    access_log access.log status;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    limit_req_zone $uri zone=one_a_minute:1m rate=1r/m;
    limit_req_zone $uri zone=ten_a_second:1m rate=10r/s;
    limit_req_status 429;
    SERVERS
}
";
/// 127.0.0.1 as an IPv6 address, which the client does not take for this machine, so that it asks the proxy for a way.
pub(crate) const HERE_FOR_A_PROXY: &str = "[::ffff:127.0.0.1]";

//! Something answers at the token URL that is no authorization server: the error says what is known of it.

use std::{error::Error, net::SocketAddr};

use h2::Reason;
use tokio::net::TcpListener;
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    client::{HttpsClient, HttpsClientBuilder},
    oauth::ClientCredentialsGrant,
    token::{FetchRequest, TokenSource},
};

use crate::{
    authenticated::TestResult,
    over_the_ready_made_transport::trusting,
    raw_server::RawServer,
    support::{
        authority::{Authority, H2_AND_H1},
        server::{NAME, Server},
    },
};

async fn failed(origin: &str, client: HttpsClientBuilder) -> Result<AuthError, Box<dyn Error + Send + Sync>> {
    let source = ClientCredentialsGrant::builder(&format!("{origin}/token"), Credentials::new("id", "key"));
    let error = source.transport(client.build()?).build()?.fetch(FetchRequest::new()).await.err().ok_or("a token")?;
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true), "{error:?}");
    Ok(error)
}

/// A TLS alert (RFC 8446, section 6), as a server of TLS alone sends it to who does not speak that.
const ALERT: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46];

#[tokio::test]
async fn an_answer_that_is_no_http_is_not_said_to_be_out_of_reach() -> TestResult {
    let answers: [&'static [u8]; 7] = [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example ESMTP\r\n",
        b"<html><body>Welcome</body></html>\r\n\r\n",
        b"{\"access_token\":\"t\"}\n",
        b"-ERR unknown command\r\n",
        b"HTTP/7.3 200 OK\r\n\r\n",
        ALERT,
    ];
    for answer in answers {
        let server = RawServer::answering(answer).await?;
        let error = failed(&server.url(), HttpsClient::builder()).await?.to_string();
        let told = format!(
            "the token request to the authorization server at {} failed: its answer is not HTTP; check scheme and port of the \
             token URL",
            server.url()
        );
        assert_eq!(error, told, "{}", String::from_utf8_lossy(answer));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_at_an_https_url_is_told_of() -> TestResult {
    let plain = Server::new().listen().await?;
    let raw = RawServer::answering("HTTP/1.1 400 Bad Request\r\n\r\n").await?;
    for port in [plain.port(), raw.port()] {
        let error = failed(&format!("https://{NAME}:{port}"), HttpsClient::builder()).await?.to_string();
        assert!(error.ends_with("failed: its answer is not TLS; check scheme and port of the token URL"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_ends_too_soon_is_told_of() -> TestResult {
    for answer in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"access"] {
        let server = RawServer::answering(answer).await?;
        let error = failed(&server.url(), HttpsClient::builder()).await?.to_string();
        assert!(
            error.ends_with("failed: it closed the connection before its answer was complete"),
            "{answer:?}: {error}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_out_of_reach() -> TestResult {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let error = failed(&format!("http://{nobody}"), HttpsClient::builder()).await?.to_string();
    assert_eq!(error, format!("the authorization server at http://{nobody} cannot be reached"));
    Ok(())
}

/// A server that agrees on HTTP/2 and then takes none of it; it serves HTTP/1.1.
async fn wants_http_1(server: Server, authority: &Authority) -> Result<SocketAddr, Box<dyn Error + Send + Sync>> {
    let tls = authority.acceptor(H2_AND_H1, Authority::no_client_auth())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, server) = (tls.clone(), server.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return server.serve(stream).await;
                }
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(Reason::HTTP_1_1_REQUIRED);
                }
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn a_server_that_resets_http_2_names_the_setting_and_works_with_it() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = format!("https://{NAME}:{}", wants_http_1(server.clone(), &authority).await?.port());
    let error = failed(&origin, trusting(&authority)).await?.to_string();
    assert!(
        error.ends_with("failed: it answers over HTTP/1.1 only; set `http1_only` of `HttpsClientBuilder`"),
        "{error}"
    );
    let client = trusting(&authority).http1_only().build()?;
    let source = ClientCredentialsGrant::builder(&format!("{origin}/token"), Credentials::new("id", "key"));
    source.transport(client).build()?.fetch(FetchRequest::new()).await?;
    assert_eq!(server.issuer.requests(), 1);
    Ok(())
}

//! hyper's client and the proxy between it and a server are given secrets, and show none.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::support::{
    planted::{source, token_number},
    secrets::{Ears, SECRET},
    token_server::fetch,
};

#[cfg(feature = "sandbox")]
#[tokio::test]
async fn the_http_client_shows_no_secret_either() {
    use http::{Request, StatusCode};
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    use tower::{Layer, ServiceExt};
    use tower_outbound_auth::{paynet, sandbox::Sandbox};

    use crate::support::Body;

    let ears = Ears::of_all_threads();
    let sandbox = Sandbox::builder().credentials("client-id", SECRET).start().await.unwrap();
    ears.tell(&sandbox);
    let layer = paynet::auth(&sandbox.environment(), sandbox.credentials()).unwrap().build().unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let service = layer.layer(paynet::RejectionLayer.layer(client));
    for _ in 0..2 {
        let url = format!("{}/v1/reports/types", sandbox.environment().api_origin());
        let response = service.clone().oneshot(Request::get(url).body(Body::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        ears.tell(&(&layer, &service, &response));
        ears.learn(layer.handle().token().await.unwrap().expose_secret());
        sandbox.revoke_tokens();
    }
    ears.tell(&(sandbox.stats(), sandbox.credentials(), sandbox.environment()));
    assert!(ears.heard().contains("hyper"), "the trace of the client is listened to as well");
    ears.check();
}

#[tokio::test]
async fn no_secret_is_shown_of_what_the_proxy_gets() {
    use tokio::{io::AsyncReadExt, net::TcpListener};
    use tower_outbound_auth::client::HttpsClient;
    let ears = Ears::of_all_threads();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let builder = HttpsClient::builder().proxy(&url).proxy_credentials("user", SECRET);
    ears.tell(&builder);
    let transport = builder.build().unwrap();
    ears.tell(&transport);
    let source = source(token_number).transport(transport).build().unwrap();
    ears.tell(&source);
    let proxy = tokio::spawn(async move {
        let mut head = vec![0; 4096];
        let read = listener.accept().await.unwrap().0.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    ears.tell_error(&fetch(&source).await.unwrap_err());
    assert!(proxy.await.unwrap().contains(&STANDARD.encode(format!("user:{SECRET}"))), "the proxy gets it");
    ears.check();
}

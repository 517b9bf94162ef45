//! Takes tokens from a file that another program replaces, such as a mounted secret. To copy.
//!
//! ```text
//! cargo run --example custom_source
//! ```

use std::{env::temp_dir, path::Path, process::id, time::Duration};

use http::{Request, Response};
use tokio::fs;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, BoxError, ErrorKind,
    token::{AccessToken, source_fn},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let path = temp_dir().join(format!("token-{}", id()));
    fs::write(&path, "my-token\n").await?;

    let token_file = path.clone();
    let source = source_fn(move |_request| {
        let path = token_file.clone();
        async move { read_token(&path).await }
    });
    let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
    // Stands in for an HTTP client, such as `client::HttpsClient`.
    let api = service_fn(|request: Request<String>| async move {
        assert_eq!(request.headers()["authorization"], "Bearer my-token");
        Ok::<_, BoxError>(Response::new(String::new()))
    });
    let client = ServiceBuilder::new().layer(auth).service(api);
    let request = Request::get("https://api.example.com/orders").body(String::new())?;
    println!("{}", client.oneshot(request).await?.status());
    Ok(fs::remove_file(&path).await?)
}

/// The layer calls this once, however many requests wait, and again before the token is a minute old or if it is rejected.
async fn read_token(path: &Path) -> Result<AccessToken, AuthError> {
    let text = fs::read_to_string(path).await.map_err(|error| {
        // `Unavailable` is transient: the layer tries again.
        AuthError::new(ErrorKind::Unavailable, "the token file cannot be read").with_source(error)
    })?;
    AccessToken::new(text.trim_end(), Some(Duration::from_secs(60)))
}

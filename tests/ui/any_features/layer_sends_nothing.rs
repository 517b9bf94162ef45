//! says: the method `oneshot` exists for struct `AuthLayer`
//! says: /* a layer is no service: `auth.layer(client)` makes one */

use http::Request;
use tower::ServiceExt;
use tower_outbound_auth::{AuthLayer, BoxError};

async fn send(auth: AuthLayer, request: Request<String>) -> Result<(), BoxError> {
    auth.oneshot(request).await?;
    Ok(())
}

fn main() {}

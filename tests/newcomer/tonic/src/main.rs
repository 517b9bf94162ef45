use tonic::{
    body::Body,
    transport::{Channel, ClientTlsConfig},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::ServiceBuilder;
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant, rejection::Rejection, replay::ReplayBody,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
    let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
    let auth = AuthLayer::builder(grant)
        .origin("https://api.example.com")
        .allow_relative_uri() // a channel is bound to one server, and adds its name below the layer
        .reject_when(|head| (head.headers.get("grpc-status")? == "16").then_some(Rejection::Token))
        .build()?;

    let tls = ClientTlsConfig::new().with_webpki_roots();
    let channel = Channel::from_static("https://api.example.com").tls_config(tls)?.connect_lazy();
    let channel = ServiceBuilder::new()
        .map_request(|request: http::Request<Body>| request.map(|body| ReplayBody::new(body, 1 << 20)))
        .layer(auth)
        .map_request(|request: http::Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);

    // `HealthClient` stands for your generated client.
    let mut client = HealthClient::new(channel);
    let response = client.check(HealthCheckRequest::default()).await?;
    println!("{:?}", response.into_inner().status());
    Ok(())
}

//! kube-client's `AuthLayer`, whose token comes from a credential plugin: this program itself.

use std::env;

use kube_client::{
    client::ConfigExt,
    config::{AuthInfo, Config, ExecConfig, ExecInteractiveMode},
};
use serde_json::json;
use tower::Layer;
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Client},
    world::World,
};

/// Fetches its first token here, and blocks meanwhile.
pub(crate) fn client(world: &World) -> Result<impl Client + use<>, BoxError> {
    let program = env::current_exe()?;
    let mut exec: ExecConfig = serde_json::from_value(json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": program.to_str(),
        "args": [PLUGIN, world.url("").trim_start_matches("http://")],
    }))?;
    exec.interactive_mode = Some(ExecInteractiveMode::Never);
    let mut config = Config::new("https://api.example.com".parse()?);
    config.auth_info = AuthInfo { exec: Some(exec), ..AuthInfo::default() };
    Ok(config.auth_layer()?.ok_or("no layer")?.layer(Api::<BoxError>::of(world)))
}

/// The first argument that makes this program the plugin.
pub(crate) const PLUGIN: &str = "plugin";

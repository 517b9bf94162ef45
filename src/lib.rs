//! Logs an HTTP client in.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod credentials;
mod dates;
mod error;
mod future;
mod layer;
mod oauth;
mod origin;
pub mod paynet;
mod rejection;
mod replay;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod service;
mod settings;
mod sign_rules;
mod signing;
mod stamp;
mod telemetry;
mod token;

pub use secrecy;

pub use self::{
    clock::Clock,
    credentials::Credentials,
    error::{AuthError, BoxError, ErrorKind},
    future::ResponseFuture,
    layer::{AuthLayer, AuthLayerBuilder},
    oauth::{ClientAuth, ClientCredentials, ClientCredentialsBuilder},
    rejection::{NotReplayed, Rejection},
    replay::{CloneBody, EmptyBody, NoReplay, Replay},
    service::Auth,
    sign_rules::{NoAuth, Sign, SignRules},
    signing::{SignatureHeaders, Signer, SigningContext, TimestampHmac},
    stamp::Overwrite,
    token::{AccessToken, FetchRequest, KeepWarm, RefreshPolicy, TokenHandle, TokenSource, TokenState, TokenStatus},
};

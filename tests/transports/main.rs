//! What carries requests and token requests: each kind of client and connection, under load, through trouble.
#![expect(clippy::disallowed_methods, reason = "real sockets need real time, as the limit of a test that hangs")]

#[cfg(feature = "client")]
mod a_transport_is_checked_at_build;
#[cfg(feature = "client")]
mod an_answer_that_is_no_http_is_told_apart;
mod authenticated;
mod behind_a_reverse_proxy;
#[cfg(feature = "client")]
mod connect_proxy;
#[cfg(feature = "client")]
mod connections_of_the_https_client;
mod grpc_service;
#[cfg(feature = "reqwest")]
mod in_a_chain_of_reqwest_middlewares;
mod look_alikes_get_no_credentials;
mod one_stream_at_a_time;
mod over_a_hyper_connection;
mod over_hyper_utils_pool;
#[cfg(feature = "reqwest")]
mod over_reqwest;
#[cfg(feature = "client")]
mod over_the_ready_made_transport;
mod over_tls;
mod over_tonic;
#[cfg(unix)]
mod over_unix_sockets;
#[cfg(feature = "client")]
mod raw_server;
#[cfg(all(feature = "sandbox", feature = "client"))]
mod rejections_over_sockets;
#[cfg(feature = "client")]
mod settings_from_the_environment;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "client")]
mod the_ready_made_client_says_who_it_is;
#[cfg(feature = "client")]
mod through_a_forward_proxy;
#[cfg(all(feature = "sandbox", feature = "client"))]
mod tokens_over_sockets;

//! The counterparts of a real layer, and what they and its callers get to see.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Response,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower_outbound_auth::{
    AuthError, BoxError,
    rejection::NotReplayed,
    token::{AccessToken, FetchRequest, TokenStatus},
};

use crate::{
    history::{Answer, Endpoint, Path},
    log::{Draws, Entry, Seen, outcome, status},
    server::{SCOPE, Server},
};

pub(crate) type Body = Full<Bytes>;

/// The two servers, and a log.
#[derive(Clone)]
pub(crate) struct Notes {
    start: Instant,
    all: Arc<Mutex<All>>,
}

struct All {
    server: Server,
    log: Vec<Entry>,
    draws: Draws,
    /// The newest token that the handle gave.
    held: Option<AccessToken>,
}

impl Notes {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let all = All { server: Server::new(endpoint), log: Vec::new(), draws: Draws::default(), held: None };
        Self { start: Instant::now(), all: Arc::new(Mutex::new(all)) }
    }

    pub(crate) fn read(&self) -> (Vec<Entry>, Draws) {
        let mut all = self.all();
        let mut log = std::mem::take(&mut all.log);
        log.sort();
        (log, std::mem::take(&mut all.draws))
    }

    pub(crate) fn server(&self, change: impl FnOnce(&mut Server)) {
        change(&mut self.all().server);
    }

    pub(crate) fn held(&self) -> Option<AccessToken> {
        self.all().held.clone()
    }

    /// The token endpoint.
    pub(crate) async fn token_request(self) -> Result<Response<Body>, BoxError> {
        let endpoint = self.all().server.endpoint;
        sleep(Duration::from_millis(endpoint.latency)).await;
        let response = match endpoint.answer {
            Answer::Token { seconds, same } => {
                let token = self.all().server.give(same);
                let lifetime = seconds.map_or(String::new(), |seconds| format!(r#","expires_in":{seconds}"#));
                answer(200, format!(r#"{{"access_token":"{token}","token_type":"Bearer"{lifetime}}}"#))
            }
            Answer::Down { retry_after } => {
                let mut response = answer(503, String::new());
                response.headers_mut().extend(retry_after.map(|seconds| (RETRY_AFTER, seconds.into())));
                response
            }
            Answer::Refuses => answer(401, r#"{"error":"invalid_client"}"#.to_owned()),
            Answer::Garbage => answer(200, "<html>".to_owned()),
            // Quietly, without the hook that prints.
            Answer::Panics => std::panic::resume_unwind(Box::new(())),
        };
        Ok(response)
    }

    /// The layer asks its source.
    pub(crate) fn asked(&self, request: &FetchRequest) {
        let rejected = request.rejected().map(|token| token.expose_secret().parse().unwrap());
        let at = self.note(Seen::TokenRequest { rejected });
        self.all().draws.asked.push(at);
    }

    /// The API's answer to a request with this `Authorization` header.
    pub(crate) fn sent(&self, step: usize, path: Path, is_replay: bool, authorization: &str) -> Response<Body> {
        let token = authorization.trim_start_matches("Bearer ").parse().unwrap();
        self.note(Seen::Sent { step, token });
        match self.all().server.says(path, token, is_replay) {
            SCOPE => {
                let mut response = answer(401, String::new());
                let challenge = HeaderValue::from_static(r#"Bearer error="insufficient_scope""#);
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
            status => answer(status, String::new()),
        }
    }

    /// How a request through the layer ended.
    pub(crate) fn answered(&self, step: usize, ended: Result<Response<Body>, BoxError>) {
        match ended {
            Ok(response) => {
                let mark: Option<&NotReplayed> = response.extensions().get();
                self.note(Seen::Ended { step, how: outcome(response.status().as_u16(), mark.copied()) });
            }
            Err(error) => self.failed(step, AuthError::find(&*error).unwrap()),
        }
    }

    /// What the handle gave.
    pub(crate) fn given(&self, step: usize, ended: Result<AccessToken, AuthError>) {
        match ended {
            Ok(token) => {
                self.note(Seen::Ended { step, how: format!("token {}", token.expose_secret()) });
                self.all().held = Some(token);
            }
            Err(error) => self.failed(step, &error),
        }
    }

    pub(crate) fn status(&self, step: usize, told: &TokenStatus) {
        let error = told.last_error.as_ref().map(AuthError::kind);
        self.note(Seen::Status { step, says: status(told.state, told.expires_in, told.issued, told.failures, error) });
    }

    fn failed(&self, step: usize, error: &AuthError) {
        self.note(Seen::Ended { step, how: format!("{:?}", error.kind()) });
        self.all().draws.retry_after.extend(error.retry_after().map(|wait| (step, wait)));
    }

    fn note(&self, what: Seen) -> u64 {
        let at = u64::try_from(self.start.elapsed().as_millis()).unwrap();
        self.all().log.push(Entry { at, what });
        at
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap()
    }
}

fn answer(status: u16, body: String) -> Response<Body> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status.try_into().unwrap();
    response
}

//! A server over a socket that gives out tokens and takes them at its API, with habits that are data.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Where a client's id and secret are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Login {
    Form,
    Json,
    DecodedBasic,
    RawBasic,
    /// The id in the form too.
    BasicAndForm,
    /// In headers of the server's own.
    Headers,
}

/// An answer, with `TOKEN` in place of a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) challenges: &'static [&'static str],
    pub(crate) body: &'static str,
}

#[derive(Clone)]
pub(crate) struct Habits {
    pub(crate) login: Login,
    /// The one client that it knows.
    pub(crate) client: (&'static str, &'static str),
    /// What another client is told.
    pub(crate) refusal: Said,
    /// What else a token request must have: fields of the body, and headers.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) grant: Said,
    /// The header of the API that has the token, and what precedes it there.
    pub(crate) token_header: (&'static str, &'static str),
    /// What a request without a good token is told.
    pub(crate) rejection: Said,
}

/// Runs until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Running>,
    task: JoinHandle<()>,
}

struct Running {
    habits: Habits,
    asked: AtomicUsize,
    /// The number of the one token that is good; 0: none.
    good: AtomicUsize,
}

pub(crate) const fn said(status: u16, challenges: &'static [&'static str], body: &'static str) -> Said {
    Said { status, challenges, body }
}

/// One that keeps to the RFCs.
pub(crate) const USUAL: Habits = Habits {
    login: Login::Form,
    client: ("client", "secret"),
    refusal: said(401, &[r#"Basic realm="login""#], r#"{"error":"invalid_client"}"#),
    fields: &[("grant_type", "client_credentials")],
    headers: &[],
    grant: said(200, &[], r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":3600}"#),
    token_header: ("authorization", "Bearer "),
    rejection: said(401, &[r#"Bearer error="invalid_token""#], ""),
};

pub(crate) const GREETING: &str = r#"{"ok":true,"greeting":"hello"}"#;

impl Server {
    pub(crate) async fn start(habits: Habits) -> Self {
        let state = Arc::new(Running { habits, asked: AtomicUsize::new(0), good: AtomicUsize::new(0) });
        let routes = Router::new().route("/token", post(token)).route("/greeting", get(greeting));
        let routes = routes.with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, state, task }
    }

    pub(crate) fn token_requests(&self) -> usize {
        self.state.asked.load(SeqCst)
    }

    pub(crate) fn revoke(&self) {
        self.state.good.store(0, SeqCst);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn token(State(state): State<Arc<Running>>, headers: HeaderMap, form: String) -> Response {
    let number = state.asked.fetch_add(1, SeqCst) + 1;
    let Habits { login, client, refusal, grant, fields, headers: own, .. } = &state.habits;
    if login.client(&headers, &form) != Some((client.0.to_owned(), client.1.to_owned())) {
        return refusal.response("none");
    }
    let has_fields = fields.iter().all(|(name, value)| login.field(&form, name).as_deref() == Some(value));
    if !has_fields || own.iter().any(|(name, value)| header(&headers, name) != Some(value)) {
        return said(400, &[], r#"{"error":"invalid_request"}"#).response("none");
    }
    state.good.store(number, SeqCst);
    grant.response(&format!("token-{number}"))
}

async fn greeting(State(state): State<Arc<Running>>, headers: HeaderMap) -> Response {
    let (name, scheme) = state.habits.token_header;
    let token = header(&headers, name).and_then(|value| value.strip_prefix(scheme)?.strip_prefix("token-"));
    let good = state.good.load(SeqCst);
    if good > 0 && token == Some(good.to_string().as_str()) {
        said(200, &[], GREETING).response("none")
    } else {
        state.habits.rejection.response("none")
    }
}

impl Login {
    fn client(self, headers: &HeaderMap, form: &str) -> Option<(String, String)> {
        let basic = || {
            let value = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
            let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
            pair.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
        };
        match self {
            Self::Form | Self::Json => Some((self.field(form, "client_id")?, self.field(form, "client_secret")?)),
            Self::DecodedBasic => basic().map(|(id, secret)| (decoded(&id), decoded(&secret))),
            Self::RawBasic => basic(),
            Self::BasicAndForm => basic().filter(|(id, _)| field(form, "client_id").as_ref() == Some(id)),
            Self::Headers => Some((header(headers, CLIENT_ID)?.to_owned(), header(headers, CLIENT_SECRET)?.to_owned())),
        }
    }

    fn field(self, body: &str, name: &str) -> Option<String> {
        match self {
            Self::Json => Some(serde_json::from_str::<serde_json::Value>(body).ok()?.get(name)?.as_str()?.to_owned()),
            _ => field(body, name),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

pub(crate) const CLIENT_ID: &str = "client-id";
pub(crate) const CLIENT_SECRET: &str = "client-secret";

fn field(form: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(form.as_bytes()).find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
}

fn decoded(text: &str) -> String {
    field(&format!("a={text}"), "a").unwrap_or_default()
}

impl Said {
    fn response(self, token: &str) -> Response {
        let mut response = self.body.replace("TOKEN", token).into_response();
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for challenge in self.challenges {
            response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

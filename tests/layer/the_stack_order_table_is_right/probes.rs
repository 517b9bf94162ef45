//! What users want to know of an order of layers, found out by calls through it.

use std::time::Duration;

use http::{Request, StatusCode};
use tokio::time::sleep;
use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};
use tower_outbound_auth::{AuthError, BoxError, ErrorKind};

use super::{
    layers::RATE,
    stack::{ELSEWHERE, Order, Outcome, SLOW, Stack},
};

/// What was found, one finding a question. Empty: all is as without any other layer.
pub(crate) async fn findings(order: &Order) -> Vec<String> {
    vec![
        wait_for_a_token(order).await,
        slow_answer(order).await,
        replayed_request(order).await,
        calls_without_a_token(order).await,
        calls_during_a_renewal(order).await,
        counted(order).await,
        retries(order).await,
        redirects(order).await,
        compressed_rejection(order).await,
        request_ids(order).await,
        spans(order).await,
        refused_token(order).await,
    ]
}

/// Those of the questions that ask about a token which comes late.
pub(crate) const OF_A_LATE_TOKEN: [usize; 2] = [0, 2];

/// Who pays for a token that takes long?
async fn wait_for_a_token(order: &Order) -> String {
    let stack = order.stack();
    stack.issuer.set(|settings| settings.latency = SLOW);
    elapsed(&stack.get("/").await, "the wait for a token counts")
}

async fn slow_answer(order: &Order) -> String {
    elapsed(&order.warm_stack().await.get("/slow").await, "a slow response fails (`Elapsed`)")
}

/// A request that is sent twice, and takes twice as long.
async fn replayed_request(order: &Order) -> String {
    let stack = order.warm_stack().await;
    stack.issuer.revoke();
    elapsed(&stack.get("/unhurried").await, "both sends of a replayed request count together")
}

/// May a call that needs no token go on while another waits for the first one?
async fn calls_without_a_token(order: &Order) -> String {
    match meanwhile(&order.stack()).await {
        Meanwhile::Free => String::new(),
        Meanwhile::Waits => "a permit is held while a call waits for its token".to_owned(),
        Meanwhile::Shed => "calls are shed (`Overloaded`) while a call waits for its token".to_owned(),
        Meanwhile::Failed(error) => format!("the call that waits for the first token fails: {error:?}"),
    }
}

/// And while another, which was rejected, waits for the next one?
async fn calls_during_a_renewal(order: &Order) -> String {
    let stack = order.warm_stack().await;
    stack.issuer.revoke();
    match meanwhile(&stack).await {
        Meanwhile::Free => String::new(),
        Meanwhile::Waits => "also while a rejected token is renewed".to_owned(),
        Meanwhile::Shed => "also (`Overloaded`) while a rejected token is renewed".to_owned(),
        Meanwhile::Failed(error) => format!("the call that was rejected fails: {error:?}"),
    }
}

/// What does a limit count of a request that is replayed?
async fn counted(order: &Order) -> String {
    let stack = order.warm_stack().await;
    stack.issuer.revoke();
    let mut calls = 0;
    while calls <= RATE && stack.get("/").await.went_at_once() {
        calls += 1;
    }
    match RATE.checked_sub(calls) {
        None => String::new(),
        Some(0) => "a replayed request counts once".to_owned(),
        Some(1) => "a replayed request counts twice".to_owned(),
        Some(more) => format!("a replayed request counts {} times", more + 1),
    }
}

/// Is each attempt of a retry signed for itself?
async fn retries(order: &Order) -> String {
    let stack = order.warm_stack().await;
    stack.get("/busy").await.result.unwrap();
    match &values(&stack, "x-timestamp")[..] {
        [_] => String::new(),
        [first, second] if first == second => "attempts share one signature, which ages".to_owned(),
        [_, _] => "each attempt is signed anew".to_owned(),
        more => format!("it takes {} tries", more.len()),
    }
}

/// Which credentials does a redirect carry to another host?
async fn redirects(order: &Order) -> String {
    let stack = order.warm_stack().await;
    stack.get("/moved").await.result.unwrap();
    let sent = stack.seen.requests();
    let Some(request) = sent.iter().find(|request| request.uri() == ELSEWHERE) else {
        return String::new();
    };
    let carried: Vec<_> = CREDENTIALS.iter().filter(|name| request.headers().contains_key(**name)).copied().collect();
    match &carried[..] {
        [] => "a redirect carries no credential away".to_owned(),
        [others @ .., last] => format!("**a redirect carries `{}` and `{last}` to another host**", others.join("`, `")),
    }
}

/// is a rejection in a compressed body read, and the request replayed?
async fn compressed_rejection(order: &Order) -> String {
    let stack = order.warm_stack().await;
    stack.issuer.revoke();
    let answer = stack.get("/compressed").await.result.unwrap();
    let is_plain = !answer.headers().contains_key("content-encoding");
    match (answer.status(), is_plain) {
        (StatusCode::OK, _) => "`RejectionLayer` reads compressed rejections",
        (_, true) => "`RejectionLayer` cannot read compressed rejections",
        (_, false) => "",
    }
    .to_owned()
}

async fn request_ids(order: &Order) -> String {
    let stack = order.warm_stack().await;
    stack.issuer.revoke();
    stack.get("/").await.result.unwrap();
    match &values(&stack, "x-request-id")[..] {
        [] => String::new(),
        [first, second] if first == second => "both sends of a replayed request have one id".to_owned(),
        [_, _] => "each send has its own id".to_owned(),
        others => format!("{} sends have an id", others.len()),
    }
}

async fn spans(order: &Order) -> String {
    let stack = order.warm_stack().await;
    stack.issuer.revoke();
    stack.issuer.set(|settings| settings.latency = FETCH);
    stack.get("/").await.result.unwrap();
    let spans = stack.spans.lock().unwrap().clone();
    match &spans[..] {
        [] => String::new(),
        [span] if *span >= FETCH => "a replayed request is one span, with the wait for its token".to_owned(),
        [first, second] if *first + *second < FETCH => "each send is a span, without the wait for a token".to_owned(),
        others => format!("the spans last {others:?}"),
    }
}

/// What does a refused token request return, and does the client work again when the server issues tokens?
async fn refused_token(order: &Order) -> String {
    let stack = order.stack();
    stack.issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "the client is locked")));
    let refused = stack.get("/").await.result.unwrap_err();
    if AuthError::find(refused.as_ref()).map(AuthError::kind) != Some(ErrorKind::Denied) {
        return format!("the layer's error is lost: {refused}");
    }
    if stack.issuer.requests() > 1 {
        return format!("a refusal is asked for {} times", stack.issuer.requests());
    }
    stack.issuer.set(|settings| settings.failure = None);
    sleep(BACKOFF).await;
    match stack.get("/").await.status() {
        Some(StatusCode::OK) => String::new(),
        _ => "the client does not work again".to_owned(),
    }
}

/// What becomes of a call that needs no token.
enum Meanwhile {
    Free,
    Waits,
    Shed,
    /// It is the other call, which needs one, that fails.
    Failed(Option<BoxError>),
}

async fn meanwhile(stack: &Stack) -> Meanwhile {
    stack.issuer.set(|settings| settings.latency = FETCH);
    let other = async {
        sleep(Duration::from_millis(100)).await;
        stack.get(ELSEWHERE).await
    };
    let (waiting, other) = tokio::join!(stack.get("/"), other);
    if waiting.status() != Some(StatusCode::OK) {
        Meanwhile::Failed(waiting.result.err())
    } else if other.went_at_once() {
        Meanwhile::Free
    } else if other.is::<Overloaded>() && other.took < FETCH / 2 {
        Meanwhile::Shed
    } else {
        Meanwhile::Waits
    }
}

/// The finding that a timeout has cut the call short.
fn elapsed(outcome: &Outcome, finding: &str) -> String {
    match (outcome.status(), outcome.is::<Elapsed>()) {
        (Some(StatusCode::OK), _) => String::new(),
        (_, true) => finding.to_owned(),
        (status, _) => format!("status {status:?}, {:?}", outcome.result.as_ref().err()),
    }
}

fn values(stack: &Stack, header: &str) -> Vec<String> {
    let value = |request: &Request<()>| Some(request.headers().get(header)?.to_str().ok()?.to_owned());
    stack.seen.requests().iter().filter_map(value).collect()
}

const CREDENTIALS: &[&str] = &["authorization", "x-timestamp", "x-signature", "x-fiid"];
/// How long a token takes that takes a while.
const FETCH: Duration = Duration::from_millis(1_800);
/// Longer than the layer leaves a token endpoint alone after one refusal.
const BACKOFF: Duration = Duration::from_secs(30);

//! PayNet says no in the body of a 400: what can be healed is, and every answer reaches the caller whole.
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

#[path = "paynet_says_no_in_a_body/read_ahead.rs"]
mod read_ahead;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use proptest::{collection::vec, prelude::*};
use tokio::runtime::Builder;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Rejection,
    paynet::{PeekedBody, RejectionLayer},
};

#[tokio::test]
async fn the_two_messages_are_read_at_three_statuses_with_and_without_a_length() {
    for (message, rejection) in MESSAGES {
        let json = format!(r#"{{"error":{{"message":"{message}"}}}}"#);
        for status in [400, 401, 403] {
            for exact in [true, false] {
                let response = through_layer(status, Script::new(&[json.as_bytes()], exact)).await;
                assert_eq!(response.extensions().get(), Some(&rejection), "{status}, {exact}");
                assert_eq!(response.status(), status);
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), json);
            }
        }
    }
}

#[tokio::test]
async fn a_message_is_found_across_frames_and_no_other_text_is_taken_for_one() {
    let (message, rejection) = MESSAGES[0];
    let (left, right) = message.as_bytes().split_at(11);
    let response = through_layer(400, Script::new(&[left, b"", right], false)).await;
    assert_eq!(response.extensions().get(), Some(&rejection));
    for other in ["", "Access to this resource", "Timestamp is required", "Signature is required", "X-Fiid is required"]
    {
        let response = through_layer(400, Script::new(&[other.as_bytes()], true)).await;
        assert_eq!(response.extensions().get::<Rejection>(), None, "{other}");
    }
}

#[tokio::test]
async fn a_body_of_4_kib_is_read_and_one_byte_more_is_not() {
    let message = MESSAGES[0].0.as_bytes();
    for exact in [true, false] {
        for (filler, found) in [(4096 - message.len(), true), (4097 - message.len(), false)] {
            let response = through_layer(400, Script::new(&[message, &vec![b'x'; filler]], exact)).await;
            assert_eq!(response.extensions().get::<Rejection>().is_some(), found, "{filler}, {exact}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), message.len() + filler);
        }
    }
}

#[tokio::test]
async fn a_frame_that_shows_only_its_first_piece_is_not_judged_by_that() {
    let (message, _) = MESSAGES[0];
    let pieces = Pieces([message.into(), vec![b'x'; 5_000].into()].into());
    let body = Full::new(Bytes::from("of no known length")).map_frame(move |frame| frame.map_data(|_| pieces.clone()));
    let response = through_layer(400, body).await;
    assert_eq!(response.extensions().get::<Rejection>(), None);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), message.len() + 5_000);
}

#[tokio::test]
async fn what_cannot_be_a_rejection_is_handed_on_before_its_body_comes() {
    let cases = [(200, 10), (302, 10), (404, 10), (429, 10), (500, 10), (503, 10), (400, 4097)];
    for (status, length) in cases {
        // It never comes: whoever reads it waits for ever.
        let response = pin!(through_layer(status, Never { length }));
        let Poll::Ready(response) = response.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the body of the {status} was waited for");
        };
        assert_eq!(response.extensions().get::<Rejection>(), None);
        assert_eq!(response.body().size_hint().exact(), Some(length));
    }
}

proptest! {
    #[test]
    fn any_body_is_handed_on_whole(script in scripts(), status in prop::sample::select(vec![200, 400, 401, 403, 404])) {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(handed_on_whole(script, status))?;
    }
}

async fn handed_on_whole(script: Script, status: u16) -> Result<(), TestCaseError> {
    let text = script.text();
    let failed = script.steps.iter().any(|step| matches!(step, Step::Error));
    let said = MESSAGES.iter().find(|(message, _)| contains(&text, message.as_bytes())).map(|(_, what)| *what);
    let readable = [400, 401, 403].contains(&status) && !failed && text.len() <= 4096;
    let mut expected: VecDeque<Step> = script.steps.iter().filter(|step| **step != Step::Pending).cloned().collect();
    let exact = script.exact;

    let response = through_layer(status, script).await;
    prop_assert_eq!(response.extensions().get::<Rejection>().copied(), said.filter(|_| readable));
    let mut body = pin!(response.into_body());
    loop {
        let left: usize = expected.iter().map(|step| step.data().len()).sum();
        let hint = body.size_hint();
        prop_assert!(hint.lower() <= left as u64 && hint.upper().is_none_or(|upper| left as u64 <= upper));
        prop_assert!(!exact || hint.exact() == Some(left as u64));
        prop_assert_eq!(body.is_end_stream(), expected.is_empty());
        let step = match body.as_mut().frame().await {
            None => break,
            Some(Err(_)) => Step::Error,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Step::Data(data),
                Err(_) => Step::Trailers,
            },
        };
        prop_assert_eq!(Some(step), expected.pop_front());
    }
    prop_assert!(expected.is_empty());
    Ok(())
}

/// Text with a message in it or not, cut into frames anywhere, with pauses, and an end of any kind.
fn scripts() -> impl Strategy<Value = Script> {
    let said = prop::option::of(prop::sample::select(MESSAGES.map(|(message, _)| message).to_vec()));
    let fillers = (prop_oneof![0..200_usize, 3_900..4_200_usize], 0..200_usize);
    let end = prop::sample::select(vec![None, Some(Step::Trailers), Some(Step::Error)]);
    (said, fillers, vec((any::<prop::sample::Index>(), any::<bool>()), 0..6), end, any::<bool>()).prop_map(
        |(said, (before, after), cuts, end, exact)| {
            let text = [vec![b'x'; before], said.unwrap_or_default().into(), vec![b'y'; after]].concat();
            let mut cuts: Vec<_> = cuts.iter().map(|(cut, pause)| (cut.index(text.len() + 1), *pause)).collect();
            cuts.sort_unstable();
            let (mut steps, mut begin) = (VecDeque::new(), 0);
            for (cut, pause) in cuts.into_iter().chain([(text.len(), true)]) {
                steps.extend(pause.then_some(Step::Pending));
                steps.push_back(Step::Data(Bytes::copy_from_slice(text.get(begin..cut).unwrap_or_default())));
                begin = cut;
            }
            steps.extend(end);
            Script { steps, exact }
        },
    )
}

/// Data in several pieces, of which one can be looked at.
#[derive(Clone)]
struct Pieces(VecDeque<Bytes>);

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(piece) = self.0.front_mut() {
            let step = count.min(piece.len());
            piece.advance(step);
            count -= step;
            if !piece.is_empty() {
                break;
            }
            self.0.pop_front();
        }
    }
}

async fn through_layer<B: Body + Unpin>(status: u16, body: B) -> Response<PeekedBody<B>> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let mut response = Some(response);
    let answer =
        tower::service_fn(move |_: Request<()>| std::future::ready(Ok::<_, Infallible>(response.take().unwrap())));
    RejectionLayer.layer(answer).oneshot(Request::new(())).await.unwrap()
}

/// A body that follows a script.
#[derive(Clone, Debug)]
struct Script {
    steps: VecDeque<Step>,
    /// Whether it knows its length, as with `Content-Length`.
    exact: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Data(Bytes),
    Trailers,
    Error,
    Pending,
}

impl Script {
    fn new(frames: &[&[u8]], exact: bool) -> Self {
        let steps =
            frames.iter().flat_map(|frame| [Step::Pending, Step::Data(Bytes::copy_from_slice(frame))]).collect();
        Self { steps, exact }
    }

    fn text(&self) -> Vec<u8> {
        self.steps.iter().flat_map(|step| step.data().to_vec()).collect()
    }
}

impl Step {
    fn data(&self) -> &[u8] {
        if let Self::Data(data) = self { data } else { &[] }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Step::Trailers) => Some(Ok(Frame::trailers(HeaderMap::new()))),
            Some(Step::Error) => Some(Err("the connection broke")),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.exact { SizeHint::with_exact(self.text().len() as u64) } else { SizeHint::default() }
    }
}

/// A body that promises something and never brings it.
struct Never {
    length: u64,
}

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

fn contains(text: &[u8], message: &[u8]) -> bool {
    text.windows(message.len()).any(|window| window == message)
}

const MESSAGES: [(&str, Rejection); 2] = [
    ("Access to this resource is forbidden", Rejection::Token),
    ("Timestamp not within valid range", Rejection::ClockSkew),
];

#[cfg(all(feature = "sandbox", feature = "client"))]
#[path = "support/user.rs"]
mod user;

#[cfg(all(feature = "sandbox", feature = "client"))]
mod over_the_sandbox {
    use std::io::Read;

    use bytes::Bytes;
    use flate2::read::GzDecoder;
    use http::{HeaderValue, Request, header::CONTENT_TYPE};
    use http_body_util::Full;
    use serde_json::{Value, json};
    use tower_outbound_auth::{
        AuthLayerBuilder, Credentials, NotReplayed, SignRules, TimestampHmac,
        paynet::{self, X_FIID},
        sandbox::{FIID, RejectionStyle, Sandbox},
    };

    use super::user::{Protocol, TestResult, User};

    type Set = fn(AuthLayerBuilder) -> AuthLayerBuilder;

    #[tokio::test]
    async fn r8_a_wrong_clock_is_healed_without_a_token_request() -> TestResult {
        for offset in [3600, -3600] {
            let user = User::over(Protocol::Http1, Sandbox::start().await?)?;
            user.types().await?;
            user.sandbox.set_clock_offset(offset);
            user.types().await?;
            let stats = user.sandbox.stats();
            assert_eq!((stats.token_requests, stats.rejected, stats.accepted), (1, 1, 2), "{offset}");
            // Learnt for good, and forgotten when it is right again.
            user.types().await?;
            assert_eq!(user.sandbox.stats().rejected, 1);
            user.sandbox.set_clock_offset(0);
            user.types().await?;
            user.types().await?;
            let stats = user.sandbox.stats();
            assert_eq!((stats.token_requests, stats.rejected, stats.accepted), (1, 2, 5), "{offset}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn r8_the_first_signature_is_right_on_a_machine_with_a_wrong_clock() -> TestResult {
        for offset in [3600, -3600] {
            let user = User::over(Protocol::Http1, Sandbox::start().await?)?;
            user.sandbox.set_clock_offset(offset);
            user.types().await?;
            let stats = user.sandbox.stats();
            assert_eq!((stats.token_requests, stats.rejected, stats.accepted), (1, 0, 1), "{offset}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn r4_a_wrong_fi_id_costs_one_replay_at_most_and_its_message_comes_whole() -> TestResult {
        let wrong = |auth: AuthLayerBuilder| auth.header(X_FIID, HeaderValue::from_static("FIID9999"));
        let user = User::impatient(Sandbox::start().await?, wrong)?;
        for (reason, api_requests) in [(NotReplayed::RejectedAgain, 2), (NotReplayed::TooSoon, 3)] {
            let answer = user.send(post(&user, QUERY, &json!({ "query": "{ banks }" }))?).await?;
            assert_eq!((answer.status.as_u16(), answer.not_replayed), (400, Some(reason)));
            assert_eq!(answer.body, r#"{"message":"Access to this resource is forbidden"}"#);
            let stats = user.sandbox.stats();
            assert_eq!((stats.token_requests, stats.api_requests), (2, api_requests));
        }
        // Those who are right go on.
        user.types().await
    }

    #[tokio::test]
    async fn r4_the_right_fi_id_is_taken_and_a_revocation_heals() -> TestResult {
        for style in [RejectionStyle::Documented400, RejectionStyle::Unauthorized401] {
            let right = |auth: AuthLayerBuilder| auth.header(X_FIID, HeaderValue::from_static(FIID));
            let user = User::impatient(Sandbox::builder().rejection(style).start().await?, right)?;
            for token_requests in 1..=2 {
                let answer = user.send(post(&user, QUERY, &json!({ "query": "{ banks }" }))?).await?;
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_eq!(user.sandbox.stats().token_requests, token_requests);
                user.sandbox.revoke_tokens();
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_healed_reaches_the_caller_whole_and_is_sent_once() -> TestResult {
        let unsigned = |auth: AuthLayerBuilder| {
            let signer = TimestampHmac::sha256(Credentials::new("any", "any"));
            auth.sign(SignRules::matching(|_, _| false), signer)
        };
        let missigned = |auth: AuthLayerBuilder| {
            auth.sign(paynet::sign_rules(), TimestampHmac::sha256(Credentials::new("client_123456789", "another")))
        };
        let cases: [(Set, _, _); 3] = [
            (unsigned, DOWNLOAD, "Timestamp is required"),
            (missigned, DOWNLOAD, "Invalid signature"),
            (|auth| auth, QUERY, "X-Fiid is required"),
        ];
        for (set, path, message) in cases {
            let user = User::impatient(Sandbox::start().await?, set)?;
            let answer = user.send(post(&user, path, &order())?).await?;
            assert_eq!((answer.status.as_u16(), answer.not_replayed), (400, None), "{message}");
            assert_eq!(answer.body, json!({ "message": message }).to_string());
            let stats = user.sandbox.stats();
            assert_eq!((stats.token_requests, stats.api_requests), (1, 1), "{message}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_report_list_is_signed_and_read() -> TestResult {
        let user = User::over(Protocol::Http2, Sandbox::start().await?)?;
        let answer = user.send(Request::get(user.url("/v1/reports/types")).body(Full::default())?).await?;
        let list: Value = serde_json::from_slice(&answer.body)?;
        assert_eq!(list["data"].as_array().map(Vec::len), Some(2), "{list}");
        assert_eq!(user.sandbox.stats().accepted, 1);
        Ok(())
    }

    #[tokio::test]
    async fn s3_the_one_time_url_gets_no_credential_and_is_asked_once() -> TestResult {
        let user = User::over(Protocol::Http1, Sandbox::start().await?)?;
        let answer = user.send(post(&user, DOWNLOAD, &order())?).await?;
        let report: Value = serde_json::from_slice(&answer.body)?;
        let url = report["data"]["url"].as_str().ok_or("no URL")?;
        let file = user.send(Request::get(url).body(Full::default())?).await?;
        assert_eq!(file.status, 200);
        let mut csv = String::new();
        GzDecoder::new(&file.body[..]).read_to_string(&mut csv)?;
        assert!(csv.starts_with("date,fiid,"), "{csv}");
        // A second request for it would have been answered with 410, as this one is.
        assert_eq!(user.send(Request::get(url).body(Full::default())?).await?.status, 410);
        let stats = user.sandbox.stats();
        assert_eq!((stats.downloads, stats.credentials_leaked, stats.token_requests), (1, 0, 1));
        Ok(())
    }

    fn post(user: &User, path: &str, json: &Value) -> http::Result<Request<Full<Bytes>>> {
        let request = Request::post(user.url(path)).header(CONTENT_TYPE, "application/json");
        request.body(Full::from(json.to_string()))
    }

    fn order() -> Value {
        json!({ "report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31" })
    }

    const DOWNLOAD: &str = "/v1/reports/download";
    const QUERY: &str = "/v2/reports/query";
}

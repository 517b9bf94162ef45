//! PayNet reports a rejected token in the body of a 400: it is found there, and every body reaches the caller whole.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use proptest::{collection::vec, prelude::*};
use tokio::runtime::Builder;
use tower_outbound_auth::rejection::Rejection;

use crate::script::{MESSAGES, Pieces, Script, Step, through_layer};

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
            let response = through_layer(400, Script::new(&[message, &vec![b' '; filler]], exact)).await;
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
        // It never comes: reading it waits for ever.
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
    let reported = script.reports;
    let readable = [400, 401, 403].contains(&status) && !failed && text.len() <= 4096;
    let mut expected: VecDeque<Step> = script.steps.iter().filter(|step| **step != Step::Pending).cloned().collect();
    let exact = script.exact;

    let response = through_layer(status, script).await;
    prop_assert_eq!(response.extensions().get::<Rejection>().copied(), reported.filter(|_| readable));
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

/// Text around a message, cut into frames anywhere, with pauses, and an end of any kind.
fn scripts() -> impl Strategy<Value = Script> {
    let message = prop::sample::select(MESSAGES.to_vec());
    let around = prop::sample::select(AROUND.to_vec());
    let fillers = (prop_oneof![0..200_usize, 3_900..4_200_usize], 0..200_usize);
    let cuts = vec((any::<prop::sample::Index>(), any::<bool>()), 0..6);
    let end = prop::sample::select(vec![None, Some(Step::Trailers), Some(Step::Error)]);
    (message, around, fillers, cuts, end, any::<bool>()).prop_map(
        |((message, rejection), (begin, filler, finish, counts), (before, after), cuts, end, exact)| {
            let text = [begin, &filler.repeat(before), message, &filler.repeat(after), finish].concat().into_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|(cut, pause)| (cut.index(text.len() + 1), *pause)).collect();
            cuts.sort_unstable();
            let (mut steps, mut begin) = (VecDeque::new(), 0);
            for (cut, pause) in cuts.into_iter().chain([(text.len(), true)]) {
                steps.extend(pause.then_some(Step::Pending));
                steps.push_back(Step::Data(Bytes::copy_from_slice(text.get(begin..cut).unwrap_or_default())));
                begin = cut;
            }
            steps.extend(end);
            Script { steps, exact, reports: counts.then_some(rejection) }
        },
    )
}

/// What comes before a message, a filler on both sides of it, what comes after it, and whether the message then counts.
const AROUND: [(&str, &str, &str, bool); 7] = [
    ("", " ", "\r\n", true),
    ("", "x", "", false),
    (r#"{"error":[0,{"text":""#, "", r#""}]}"#, true),
    (r#"{"error":""#, "x", r#" "}"#, false),
    (r#"[""#, "", r#""] "#, true),
    (r#"{""#, "", r#"":1}"#, false),
    (r#"{"error":""#, "", "", false),
];

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

//! A message reports a rejection if it is the whole body or a whole JSON string in it, at three statuses.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower_outbound_auth::rejection::Rejection;

use crate::script::{MESSAGES, passed_on, through_layer};

const FORBIDDEN: &str = MESSAGES[0].0;
const SKEWED: &str = MESSAGES[1].0;

async fn rejection_in(status: u16, body: &str) -> Option<Rejection> {
    let response = through_layer(status, Full::<Bytes>::from(body.to_owned())).await;
    let rejection = response.extensions().get().copied();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body, "the body comes whole");
    rejection
}

#[tokio::test]
async fn a_message_counts_as_a_whole_json_string_or_as_the_whole_body() {
    for (message, rejection) in MESSAGES {
        let escaped = message.replace(' ', r"\u0020");
        let bodies = [
            message.to_owned(),
            format!("\r\n {message}\t\n"),
            format!(r#""{message}""#),
            format!(r#" {{ "message" : "{message}" }} "#),
            format!(r#"{{"code":400,"error":{{"details":[null,1.5,true,["other",{{"text":"{message}"}}]]}}}}"#),
            format!(r#"["{message}"]"#),
            format!(r#"{{"message":"{escaped}"}}"#),
        ];
        for body in bodies {
            for status in [400, 401, 403] {
                assert_eq!(rejection_in(status, &body).await, Some(rejection), "{status} {body}");
            }
            for status in [200, 402, 404, 409, 422, 500] {
                assert_eq!(rejection_in(status, &body).await, None, "{status} {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_message_does_not_count_as_a_part_of_a_longer_text() {
    for message in [FORBIDDEN, SKEWED] {
        let bodies = [
            format!("{message}."),
            format!("<p>{message}</p>"),
            format!(r#"{{"message":"{message}."}}"#),
            format!(r#"{{"message":" {message}"}}"#),
            format!(r#"{{"note":"the field said: \"{message}\""}}"#),
            format!(r#"{{"{message}":"a member's name"}}"#),
            format!(r#"{{"message":"{}"}}"#, message.to_lowercase()),
            format!(r#"{{"message":"{message}""#),
            format!(r#"{{"message":"{message}"}} and more"#),
            format!("{message} {message}"),
        ];
        for body in bodies {
            assert_eq!(rejection_in(400, &body).await, None, "{body}");
        }
    }
}

#[tokio::test]
async fn of_two_messages_the_rejected_token_counts() {
    let body = format!(r#"{{"errors":["{SKEWED}","{FORBIDDEN}"]}}"#);
    assert_eq!(rejection_in(400, &body).await, Some(Rejection::Token));
}

#[tokio::test]
async fn json_nested_deeper_than_anybody_reads_is_handed_on() {
    let deep = format!("{}\"{FORBIDDEN}\"{}", "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(rejection_in(400, &deep).await, None);
}

/// A body of unknown length that never comes.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[test]
fn a_response_whose_content_length_is_over_4_kib_is_handed_on_at_once() {
    for (length, at_once) in [("4096", false), ("4097", true), ("99999999999", true), ("unreadable", false)] {
        let response = Response::builder().status(400).header(CONTENT_LENGTH, length).body(Never).unwrap();
        let response = pin!(passed_on(response));
        let polled = response.poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled.is_ready(), at_once, "{length}");
    }
}

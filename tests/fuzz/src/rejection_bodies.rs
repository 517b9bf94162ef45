//! `paynet::RejectionLayer`: the body is handed on unchanged, and recognized by its whole text or not at all.

use std::{
    convert::Infallible,
    future::{poll_fn, ready},
    pin::pin,
};

use bytes::Buf;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{paynet::RejectionLayer, rejection::Rejection};

use crate::{
    body::{self, Broken, Pieces, Scripted, Step},
    drive::{Limits, drive},
    input::Input,
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let status = input.pick(&[400, 401, 403, 400, 200, 402, 404, 500]);
    let lower = input.pick(&[0, 0, 0, 100, LONGEST as u64, LONGEST as u64 + 1, u64::MAX]);
    let text = text(&mut input);
    let mut steps = body::cut(&mut input, &text);
    // The layer does not end these; a timeout of the user does.
    steps.retain(|step| !matches!(step, Step::Stalls | Step::Forever(_)));

    let mut hint = SizeHint::new();
    hint.set_lower(lower);
    let (body, tally) = Scripted::new(steps.iter().cloned(), hint);
    let limits = Limits { polls: steps.len() + 10, bytes: 256 * 1024 };
    let (rejection, read_ahead, output) = drive(limits, async {
        let response = through_the_layer(status, body).await;
        let rejection = response.extensions().get::<Rejection>().copied();
        (rejection, tally.polls(), read_out(response.into_body(), steps.len() + 2).await)
    });

    assert!(read_ahead <= MOST_FRAMES + 1 + later(&steps), "{read_ahead} frames read ahead");
    assert_eq!(output, expected_output(&steps), "{steps:?}");
    let is_read = [400, 401, 403].contains(&status) && lower <= LONGEST as u64;
    let expected = if is_read { opinion(&steps) } else { None };
    assert_eq!(rejection, expected, "{status} {steps:?}");
    assert!(is_read || read_ahead == 0, "read without a reason");
}

async fn through_the_layer(status: u16, body: Scripted) -> Response<impl Body<Data = Pieces, Error = Broken>> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    let response = std::sync::Mutex::new(Some(response));
    let api = tower::service_fn(move |_: http::Request<()>| {
        let response = response.lock().ok().and_then(|mut response| response.take());
        ready(Ok::<_, Infallible>(response.expect("one request")))
    });
    RejectionLayer.layer(api).oneshot(http::Request::new(())).await.expect("it cannot fail")
}

/// What a reader gets at each poll, also after an error, to the end.
#[derive(Debug, PartialEq)]
enum Got {
    Data(Vec<u8>),
    Trailers(http::HeaderMap),
    Error(Broken),
}

async fn read_out<B: Body<Data = Pieces, Error = Broken>>(body: B, most: usize) -> Vec<Got> {
    let mut body = pin!(body);
    let mut got = Vec::new();
    for _ in 0..most {
        let (left, ended) = (body.size_hint(), body.is_end_stream());
        assert!(left.upper().is_none_or(|upper| left.lower() <= upper));
        let next = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        assert!(!ended || next.is_none(), "is_end_stream, but there was another frame");
        match next {
            None => return got,
            Some(Err(error)) => got.push(Got::Error(error)),
            Some(Ok(frame)) => got.push(of_frame(frame)),
        }
    }
    panic!("a body that never ends: {got:?}");
}

fn of_frame(frame: Frame<Pieces>) -> Got {
    match frame.into_data() {
        Ok(mut data) => Got::Data(data.copy_to_bytes(data.remaining()).to_vec()),
        Err(frame) => Got::Trailers(frame.into_trailers().unwrap_or_default()),
    }
}

fn expected_output(steps: &[Step]) -> Vec<Got> {
    let got = |step: &Step| match step {
        Step::Data(pieces) => Some(Got::Data(pieces.concat())),
        Step::Trailers(trailers) => Some(Got::Trailers(trailers.clone())),
        Step::Fails(which) => Some(Got::Error(Broken(*which))),
        Step::Later | Step::Stalls | Step::Forever(_) => None,
    };
    steps.iter().filter_map(got).collect()
}

/// What the whole body means, if it is small and without an error.
fn opinion(steps: &[Step]) -> Option<Rejection> {
    let failed = steps.iter().any(|step| matches!(step, Step::Fails(_)));
    let text = body::data(steps);
    if failed || text.len() > LONGEST || steps.len() - later(steps) > MOST_FRAMES {
        return None;
    }
    let json = serde_json::from_slice::<serde_json::Value>(&text).map(|json| json.to_string()).unwrap_or_default();
    if says(&text, &json, MESSAGES[0]) {
        Some(Rejection::Token)
    } else {
        says(&text, &json, MESSAGES[1]).then_some(Rejection::ClockSkew)
    }
}

/// Whether the message is the text, or a string in the same text as JSON without spaces, and no member's name.
fn says(text: &[u8], json: &str, message: &str) -> bool {
    let quoted = format!("\"{message}\"");
    let is_value = |(at, _): (usize, _)| !json[..at].ends_with('\\') && !json[at + quoted.len()..].starts_with(':');
    text.trim_ascii() == message.as_bytes() || json.match_indices(&quoted).any(is_value)
}

fn later(steps: &[Step]) -> usize {
    steps.iter().filter(|step| **step == Step::Later).count()
}

/// Messages or parts of them among other text, or any bytes.
fn text(input: &mut Input<'_>) -> Vec<u8> {
    if input.below(4) == 0 {
        return input.some_bytes().to_vec();
    }
    let mut text = Vec::new();
    for _ in 0..=input.below(4) {
        match input.below(8) {
            0 => text.extend(MESSAGES[0].bytes()),
            1 => text.extend(MESSAGES[1].bytes()),
            2 => text.extend(&MESSAGES[0].as_bytes()[..input.below(MESSAGES[0].len() + 1)]),
            3 => text.extend(br#"{"code":400,"message":""#),
            4 => text.extend(br#"""#),
            5 => text.extend(input.pick(&[&br#""}"#[..], br#"":""#, b" ", br#"","x":["y",""#, br#""]}"#])),
            6 => text.resize(text.len() + input.pick(&[1, 100, 4_000, 5_000]), b'.'),
            _ => text.extend(input.bytes(8)),
        }
    }
    if input.one_in(4) {
        text.resize(input.pick(&[LONGEST - 1, LONGEST, LONGEST + 1]).max(text.len()), b' ');
    }
    text
}

const MESSAGES: [&str; 2] = ["Access to this resource is forbidden", "Timestamp not within valid range"];
/// In bytes and in frames: a longer body is not read to its end.
const LONGEST: usize = 4096;
const MOST_FRAMES: usize = 256;

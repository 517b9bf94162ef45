//! `ReplayBody`: copies that are read in any order agree with the model of `tests/replay`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    input::Input,
    replay_model::{Act, Case, Step},
    replay_run::check,
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let exact = input.one_in(2);
    let limit = input.pick(&[20, 0, 1, 9, 10, 11, 50, 100, 1_000, usize::MAX]);
    let steps = steps(&mut input);
    let acts = (0..MOST).map_while(|_| act(&mut input)).collect();
    check(&Case { steps, limit, exact, acts });
}

/// Returns a stream of frames, which may be pending before each, and end with trailers or fail.
fn steps(input: &mut Input<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..input.below(MOST) {
        match input.below(8) {
            0 => steps.push(Step::Later),
            1 => steps.push(Step::Data(Bytes::new())),
            2 => steps.push(Step::Fails),
            3 => steps.push(trailers(input)),
            _ => steps.push(Step::Data(Bytes::from(vec![b'x'; input.pick(&[1, 5, 10, 11, 99])]))),
        }
    }
    steps
}

fn trailers(input: &mut Input<'_>) -> Step {
    let value = HeaderValue::from_bytes(input.bytes(4)).unwrap_or(HeaderValue::from_static("x"));
    Step::Trailers(HeaderMap::from_iter([(HeaderName::from_static("x-trailer"), value)]))
}

/// Returns the next act; `None` when the input is used up.
fn act(input: &mut Input<'_>) -> Option<Act> {
    let kind = (!input.is_empty()).then(|| input.below(8))?;
    let which = input.below(8);
    Some(match kind {
        0..4 => Act::Poll(which),
        4 => Act::Copy(which),
        5 => Act::Reserve(which),
        6 => Act::Drop(which),
        _ => Act::Arrive,
    })
}

const MOST: usize = 64;

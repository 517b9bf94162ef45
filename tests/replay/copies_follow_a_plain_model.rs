//! Every copy does what the plain model says, whatever the stream, the limit and the order of reading.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    replay_model::{Act, Case, Step},
    replay_run::check,
};

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..40).prop_map(|data| Step::Data(data.into())),
        2 => Just(Step::Later),
    ]
}

fn last_steps() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        4 => Just(vec![]),
        2 => Just(vec![trailers()]),
        1 => Just(vec![Step::Fails]),
        1 => Just(vec![Step::Later, trailers(), Step::Later]),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let which = any::<Index>().prop_map(|index| index.index(1 << 16));
    (0..12, which).prop_map(|(kind, which)| match kind {
        0..6 => Act::Poll(which),
        6 => Act::Poll(0),
        7 => Act::Copy(which),
        8 => Act::Reserve(which),
        9 => Act::Drop(which),
        _ => Act::Arrive,
    })
}

/// Limits about as large as the stream more often than others.
fn case() -> impl Strategy<Value = Case> {
    let steps = (vec(step(), 0..12), last_steps()).prop_map(|(steps, last)| [steps, last].concat());
    let around = prop_oneof![2 => Just(0_usize), 4 => 0..40_usize, 1 => Just(usize::MAX / 2)];
    (steps, around, any::<(bool, bool)>(), vec(act(), 0..40)).prop_map(|(steps, around, (exact, above), acts)| {
        let length = steps.iter().map(|step| if let Step::Data(data) = step { data.len() } else { 0 }).sum::<usize>();
        let limit = if above { length + around } else { length.saturating_sub(around) };
        Case { steps, limit, exact, acts }
    })
}

fn trailers() -> Step {
    let (name, value) = (HeaderName::from_static("x-sum"), HeaderValue::from_static("12"));
    Step::Trailers(HeaderMap::from_iter([(name, value)]))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]
    #[test]
    fn copies_do_what_the_rules_say(case in case()) {
        check(&case);
    }
}

#[test]
fn a_stream_of_just_the_limit_is_kept_and_one_byte_more_is_not() {
    use Act::{Copy, Poll};
    let data = |text: &'static str| Step::Data(Bytes::from_static(text.as_bytes()));
    for limit in [9, 10, 11] {
        for exact in [true, false] {
            let steps = vec![data("01234"), data(""), data("56789")];
            check(&Case { steps, limit, exact, acts: vec![Copy(0), Poll(0), Poll(0), Poll(0), Poll(0), Copy(0)] });
        }
    }
}

#[test]
fn a_copy_that_has_ended_stays_so_when_the_one_it_followed_is_gone() {
    use Act::{Copy, Drop, Poll};
    let steps = vec![Step::Data(Bytes::from_static(b"all")), Step::Later];
    // The second takes over, the first ends as the stream says that nothing more comes, and is alone with it.
    let acts = vec![Copy(0), Poll(0), Poll(1), Poll(0), Drop(1), Poll(0)];
    check(&Case { steps, limit: 3, exact: true, acts });
}

//! A copy that begins while another is in the middle of a read; and what streams may be and do.
#![expect(clippy::disallowed_methods, reason = "a generous bound in real time stands for a test that hangs")]

use std::{
    cell::RefCell,
    collections::VecDeque,
    marker::PhantomPinned,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes, buf::Chain};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower_outbound_auth::{BoxError, ReplayBody};

use crate::replay_run::Woken;

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;
type Hook = Rc<RefCell<Option<Box<dyn FnOnce()>>>>;

/// A stream that lets something happen in the middle of a poll, as another thread might.
struct Hooked {
    polls: VecDeque<Polled>,
    hook: Hook,
}

impl Body for Hooked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Polled {
        let hook = self.hook.borrow_mut().take();
        if let Some(hook) = hook {
            hook();
        }
        self.polls.pop_front().unwrap_or(Poll::Ready(None))
    }
}

/// Two copies of "one" and what follows, with a limit of 5 bytes. The first has read "one"; in its next poll the second
/// begins, is given "one", and finds the stream away.
struct Interrupted {
    first: ReplayBody<Hooked>,
    second: Rc<RefCell<ReplayBody<Hooked>>>,
    second_is_woken: Arc<Woken>,
    hook: Hook,
}

impl Interrupted {
    fn new(then: impl IntoIterator<Item = Polled>) -> Self {
        let hook = Hook::default();
        let polls = [data("one")].into_iter().chain(then).collect();
        let mut first = ReplayBody::new(Hooked { polls, hook: Rc::clone(&hook) }, 5);
        let second = Rc::new(RefCell::new(first.try_clone().unwrap()));
        assert_eq!(next(&mut first), "one");
        let (body, woken) = (Rc::clone(&second), Arc::<Woken>::default());
        let waker = Waker::from(Arc::clone(&woken));
        *hook.borrow_mut() = Some(Box::new(move || {
            let mut body = body.borrow_mut();
            assert_eq!(next_with(&mut *body, &waker), "one");
            assert_eq!(next_with(&mut *body, &waker), "pending");
            assert!(!body.is_end_stream() && body.size_hint().lower() == 0);
        }));
        Self { first, second, second_is_woken: woken, hook }
    }

    fn second(&self) -> String {
        next(&mut *self.second.borrow_mut())
    }
}

fn data(text: &'static str) -> Polled {
    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
}

fn next<B: Body<Error: Into<BoxError>>>(body: &mut ReplayBody<B>) -> String {
    next_with(body, Waker::noop())
}

/// What a poll brings, in words.
fn next_with<B: Body<Error: Into<BoxError>>>(body: &mut ReplayBody<B>, waker: &Waker) -> String {
    match Pin::new(body).poll_frame(&mut Context::from_waker(waker)) {
        Poll::Pending => "pending".to_owned(),
        Poll::Ready(None) => "end".to_owned(),
        Poll::Ready(Some(Err(error))) => format!("error: {error}"),
        Poll::Ready(Some(Ok(frame))) => String::from_utf8(frame.into_data().unwrap().into()).unwrap(),
    }
}

#[test]
fn a_copy_that_takes_over_in_the_middle_of_a_read_is_told_when_the_stream_is_back() {
    let mut case = Interrupted::new([Poll::Pending, data("two"), data("three")]);
    assert_eq!(next(&mut case.first), "pending");
    assert!(case.second_is_woken.is_woken());
    assert_eq!([case.second(), case.second(), case.second()], ["two", "three", "end"]);
    let overtaken = next(&mut case.first);
    assert!(overtaken.starts_with("error: "), "{overtaken}: the limit of 5 bytes was passed");
}

#[test]
fn a_frame_beyond_the_limit_that_comes_while_a_copy_takes_over_is_not_lost_to_it() {
    let mut case = Interrupted::new([data("two"), data("three")]);
    assert_eq!(next(&mut case.first), "two");
    assert!(case.second_is_woken.is_woken());
    assert!(case.first.try_clone().is_none(), "the limit is passed");
    assert!(case.second.borrow().is_complete(), "all of it is there for the one that took over");
    assert_eq!(next(&mut case.first), "error: the request is sent again, and the rest of its body goes there");
    assert_eq!(next(&mut case.first), "end", "an error is the last word");
    assert_eq!([case.second(), case.second(), case.second()], ["two", "three", "end"]);
}

#[test]
fn a_stream_that_panics_has_failed_for_all_copies() {
    let mut case = Interrupted::new([]);
    let hook = case.hook.borrow_mut().take().unwrap();
    *case.hook.borrow_mut() = Some(Box::new(move || {
        hook();
        panic!("a stream that panics");
    }));
    catch_unwind(AssertUnwindSafe(|| next(&mut case.first))).unwrap_err();
    assert!(case.second_is_woken.is_woken());
    assert!(!case.second.borrow().is_complete());
    assert_eq!(case.second(), "error: the body failed while another copy of it was read");
    assert!(case.first.try_clone().is_none());
}

#[test]
fn the_error_of_a_stream_comes_out_as_it_is_and_no_copy_hides_it() {
    let failure = Poll::Ready(Some(Err("the disk is gone".into())));
    let polls = [data("one"), failure].into_iter().collect();
    let mut first = ReplayBody::new(Hooked { polls, hook: Hook::default() }, 100);
    let mut copy = first.try_clone().unwrap();
    assert_eq!([next(&mut first), next(&mut first)], ["one", "error: the disk is gone"]);
    assert_eq!(next(&mut first), "end", "an error is the last word");
    assert!(!copy.is_complete());
    assert!(next(&mut copy).starts_with("error: "));
}

#[test]
fn data_in_pieces_of_any_kind_comes_out_as_bytes_from_a_stream_that_cannot_move() {
    /// In two pieces, not to be moved, and of one thread.
    struct Odd(PhantomPinned, Pieces);
    type Pieces = Rc<RefCell<VecDeque<Chain<&'static [u8], Bytes>>>>;

    impl Body for Odd {
        type Data = Chain<&'static [u8], Bytes>;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            Poll::Ready(self.1.borrow_mut().pop_front().map(|data| Ok(Frame::data(data))))
        }
    }

    let pieces = b"one, ".chain(Bytes::from_static(b"two"));
    let mut first = ReplayBody::new(Odd(PhantomPinned, Rc::new(RefCell::new(VecDeque::from([pieces])))), 100);
    let mut copy = first.try_clone().unwrap();
    assert_eq!([next(&mut first), next(&mut first)], ["one, two", "end"]);
    assert_eq!([next(&mut copy), next(&mut copy)], ["one, two", "end"]);
}

#[test]
fn frames_beyond_the_first_thousand_count_although_they_are_empty() {
    for (frames, whole) in [(1024, true), (1025, true), (1026, false)] {
        let polls = std::iter::repeat_with(|| data("")).take(frames).collect();
        let mut first = ReplayBody::new(Hooked { polls, hook: Hook::default() }, 64);
        let copy = first.try_clone().unwrap();
        while next(&mut first) != "end" {}
        assert_eq!(copy.is_complete(), whole, "{frames}");
    }
}

#[test]
fn trailers_count() {
    for (limit, whole) in [(3 + 1 + 64 - 1, false), (3 + 1 + 64, true)] {
        let trailers = [(http::HeaderName::from_static("sum"), http::HeaderValue::from_static("1"))];
        let polls = [Poll::Ready(Some(Ok(Frame::trailers(trailers.into_iter().collect()))))].into();
        let mut first = ReplayBody::new(Hooked { polls, hook: Hook::default() }, limit);
        let copy = first.try_clone().unwrap();
        let frame = Pin::new(&mut first).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(frame, Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
        assert_eq!(copy.is_complete(), whole, "{limit}");
    }
}

#[test]
fn a_copy_that_goes_on_or_is_dropped_leaves_no_waker_behind_and_does_not_wake_itself() {
    let polls = [data("one"), Poll::Pending, Poll::Pending, data("two"), Poll::Pending].into_iter().collect();
    let mut first = ReplayBody::new(Hooked { polls, hook: Hook::default() }, 100);
    let mut copy = first.try_clone().unwrap();
    let tasks = [Arc::<Woken>::default(), Arc::default()];
    let [one, two] = tasks.clone().map(Waker::from);
    let left_behind = || tasks.each_ref().map(|task| Arc::strong_count(task) - 2);
    assert_eq!([next(&mut first), next(&mut copy)], ["one", "one"]);
    for _ in 0..2 {
        assert_eq!([next_with(&mut first, &one), next_with(&mut copy, &two)], ["pending", "pending"]);
        assert_eq!(left_behind(), [1, 1], "one for each that waits");
    }
    assert_eq!(next_with(&mut copy, &two), "two");
    assert_eq!(left_behind(), [0, 0]);
    assert_eq!(tasks.each_ref().map(|task| task.is_woken()), [true, false]);
    assert_eq!([next_with(&mut first, &one), next_with(&mut first, &one)], ["two", "pending"]);
    assert_eq!(next_with(&mut copy, &two), "pending");
    drop(first);
    assert_eq!(left_behind(), [0, 1]);
    drop(copy);
    assert_eq!(left_behind(), [0, 0]);
    assert!(!tasks[1].is_woken());
}

#[test]
fn copies_that_two_threads_read_are_both_whole_within_the_limit() {
    /// Numbers, and before every third a wait that ends at once.
    struct Numbers(u32, bool);

    impl Body for Numbers {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
            self.1 = self.0.is_multiple_of(3) && !self.1;
            if self.1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.0 += 1;
            let data = || Ok(Frame::data(Bytes::from(self.0.to_string())));
            Poll::Ready((self.0 <= 1_000).then(data))
        }
    }

    let expected: String = (1..=1_000).map(|number| number.to_string()).collect::<Vec<_>>().concat();
    for _ in 0..50 {
        let first = ReplayBody::new(Numbers(0, false), expected.len());
        let copy = first.try_clone().unwrap();
        let threads = [first, copy].map(|body| {
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), body.collect()).await })
            })
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap().unwrap().to_bytes(), expected);
        }
    }
}

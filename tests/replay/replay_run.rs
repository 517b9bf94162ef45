//! A stream that follows a script, and its copies, held step by step to the model.
#![expect(clippy::indexing_slicing, reason = "a wrong index fails the test")]

use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tower_outbound_auth::replay::{CloneBody, Replay, ReplayBody};

use crate::replay_model::{Act, Case, Copy, Got, Model, Step, length};

/// A stream that follows its script.
struct Stream {
    script: Arc<Mutex<Script>>,
    exact: bool,
    is_done: bool,
}

struct Script {
    left: VecDeque<Step>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream broke")
    }
}

impl Error for Broken {}

impl Stream {
    fn left(&self) -> VecDeque<Step> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).left.clone()
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        assert!(!self.is_done, "polled after its end");
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        if script.left.front() == Some(&Step::Later) {
            script.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let step = script.left.pop_front();
        drop(script);
        Poll::Ready(match step {
            Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Step::Fails | Step::Later) => {
                self.is_done = true;
                Some(Err(Broken))
            }
            None => {
                self.is_done = true;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.exact && !self.left().iter().any(|step| *step != Step::Later)
    }

    fn size_hint(&self) -> SizeHint {
        if self.exact { SizeHint::with_exact(length(&self.left())) } else { SizeHint::default() }
    }
}

/// Whether a task was woken since it was last polled.
#[derive(Default)]
pub(crate) struct Woken(AtomicBool);

impl Woken {
    pub(crate) fn is_woken(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A copy, its task, and whether that waits.
struct Real {
    body: ReplayBody<Stream>,
    woken: Arc<Woken>,
    waits: bool,
}

impl Real {
    fn new(body: ReplayBody<Stream>) -> Self {
        Self { body, woken: Arc::default(), waits: false }
    }

    fn poll(&mut self) -> Got {
        self.woken.0.store(false, SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(&waker));
        self.waits = polled.is_pending();
        match polled {
            Poll::Pending => Got::Pending,
            Poll::Ready(None) => Got::End,
            Poll::Ready(Some(Err(_))) => Got::Error,
            Poll::Ready(Some(Ok(frame))) => Got::Frame(match frame.into_data() {
                Ok(data) => Step::Data(data),
                Err(frame) => Step::Trailers(frame.into_trailers().unwrap_or_default()),
            }),
        }
    }
}

/// The rules and the real copies, side by side.
struct Pair {
    model: Model,
    script: Arc<Mutex<Script>>,
    reals: Vec<Option<Real>>,
}

/// Does all that the case says, then reads every copy that is left to its end.
///
/// # Panics
///
/// If a copy does anything but what the rules say.
pub(crate) fn check(case: &Case) {
    let mut pair = Pair::new(case);
    pair.compare();
    for act in &case.acts {
        pair.act(*act);
        pair.compare();
    }
    for _ in 0..=2 * case.steps.len() + 2 {
        pair.act(Act::Arrive);
        for copy in 0..pair.reals.len() {
            pair.poll(copy);
            pair.compare();
        }
    }
    let is_done = |(copy, real): (&Copy, &Option<Real>)| real.is_none() || copy.is_done;
    assert!(pair.model.copies.iter().zip(&pair.reals).all(is_done), "a copy has neither ended nor failed");
}

impl Pair {
    fn new(case: &Case) -> Self {
        let model = Model::new(case);
        let script = Arc::new(Mutex::new(Script { left: model.left.clone(), waker: None }));
        let stream = Stream { script: Arc::clone(&script), exact: case.exact, is_done: false };
        Self { model, script, reals: vec![Some(Real::new(ReplayBody::new(stream, case.limit)))] }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Poll(which) => self.chosen(which).into_iter().for_each(|copy| self.poll(copy)),
            Act::Copy(which) => self.chosen(which).into_iter().for_each(|copy| self.copy(copy)),
            Act::Reserve(which) => self.chosen(which).into_iter().for_each(|copy| self.reserve(copy)),
            Act::Drop(which) => self.chosen(which).into_iter().for_each(|copy| {
                self.reals[copy] = None;
                self.model.drop(copy);
            }),
            Act::Arrive => self.arrive(),
        }
    }

    /// The copy that the number stands for, if one is left.
    fn chosen(&self, which: usize) -> Option<usize> {
        let there: Vec<_> = (0..self.reals.len()).filter(|copy| self.reals[*copy].is_some()).collect();
        (!there.is_empty()).then(|| there[which % there.len()])
    }

    fn poll(&mut self, copy: usize) {
        if let Some(real) = &mut self.reals[copy] {
            let (got, expected) = (real.poll(), self.model.poll(copy));
            assert_eq!(got, expected, "copy {copy}");
            if let (Got::Frame(Step::Data(got)), Got::Frame(Step::Data(sent))) = (got, expected) {
                assert_eq!(got.as_ptr(), sent.as_ptr(), "bytes are shared");
            }
        }
    }

    fn copy(&mut self, of: usize) {
        if let Some(real) = &self.reals[of] {
            let copy = real.body.try_clone();
            assert_eq!(copy.is_some(), self.model.copy(), "a copy of {of}");
            self.reals.extend(copy.map(|body| Some(Real::new(body))));
        }
    }

    fn reserve(&mut self, copy: usize) {
        if let Some(real) = &self.reals[copy] {
            let complete = self.model.is_complete(copy);
            assert_eq!(CloneBody.reserve(&real.body), complete, "copy {copy}");
            self.model.reserved_for = if complete { Some(copy) } else { self.model.reserved_for };
        }
    }

    fn arrive(&mut self) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        if script.left.front() == Some(&Step::Later) {
            script.left.pop_front();
            self.model.left.pop_front();
            script.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// What the copies say of themselves; and no copy sleeps that could go on.
    fn compare(&self) {
        for (copy, real) in self.reals.iter().enumerate() {
            let Some(real) = real else { continue };
            let hint = real.body.size_hint();
            let said = (hint.lower(), hint.upper(), real.body.is_end_stream());
            assert_eq!(said, self.model.hint(copy), "copy {copy} of itself");
            assert_eq!(real.body.is_complete(), self.model.is_complete(copy), "copy {copy}");
            if real.waits && self.model.clone().poll(copy) != Got::Pending {
                assert!(real.woken.is_woken(), "copy {copy} was not woken");
            }
        }
    }
}

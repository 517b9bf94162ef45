//! The state of a body that several copies read.
//!
//! - The copy that started last is the reader. It polls the source; the other copies follow it through the frame log.
//! - A copy can start as long as the log is complete and within its limit. A copy that is reserved becomes the reader when
//!   the next frame would exceed the limit, so that this frame is kept for it.
//! - Beyond the limit, only the reader goes on. Copies behind it fail.
//! - When the reader is dropped, any copy may read on.

use std::{mem, pin::Pin, task::Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::frame_log::{FrameLog, KeptFrame};

/// Identifies one copy of a body.
pub(super) type Id = u64;

/// The state that all copies of a body share, behind a mutex.
///
/// Under the lock no code of the body or of a waker runs: what remains to be done is `deferred`.
pub(super) struct Recording<B> {
    source: Source<B>,
    rest: Rest,
    log: FrameLog,
    reader: Option<Id>,
    /// A copy that is about to start, and must find all of the body.
    reserved_for: Option<Id>,
    waiting: Vec<(Id, Waker)>,
    last_id: Id,
    deferred: Deferred,
}

enum Source<B> {
    Available(Pin<Box<B>>),
    /// The reader polls it, without the lock.
    Lent,
    Ended,
    Failed,
}

/// What the source said of its unread rest.
pub(super) struct Rest {
    hint: SizeHint,
    is_end_stream: bool,
}

/// The position of one copy in the body.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    pub(super) id: Id,
    pub(super) has_started: bool,
    pub(super) frames: usize,
    pub(super) bytes: u64,
}

/// What a copy does next.
pub(super) enum Step<B> {
    Frame(Frame<Bytes>),
    /// Poll the source, and give it back.
    Poll(Pin<Box<B>>),
    Wait,
    End,
    Fail(&'static str),
}

/// What is woken and dropped once the lock is released.
#[derive(Default)]
pub(super) struct Deferred {
    wake: Vec<(Id, Waker)>,
    outdated: Vec<Waker>,
    frames: Option<Vec<KeptFrame>>,
}

impl<B: Body> Recording<B> {
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self {
            rest: Rest::of(&body),
            source: Source::Available(Box::pin(body)),
            log: FrameLog::new(limit),
            reader: None,
            reserved_for: None,
            waiting: Vec::new(),
            last_id: 0,
            deferred: Deferred::default(),
        }
    }
}

impl<B> Recording<B> {
    pub(super) fn take_deferred(&mut self) -> Deferred {
        mem::take(&mut self.deferred)
    }

    /// Adds a copy; `None` if it would be incomplete.
    pub(super) fn add(&mut self) -> Option<Id> {
        (self.log.is_complete() && !self.log.exceeds_limit()).then(|| {
            self.last_id += 1;
            self.last_id
        })
    }

    /// Whether this copy, which has not started, would get all of the body.
    pub(super) fn is_complete(&self, id: Id) -> bool {
        self.log.is_complete() && (!self.log.exceeds_limit() || self.reader == Some(id))
    }

    /// The same; and if so, it stays so.
    pub(super) fn reserve(&mut self, id: Id) -> bool {
        let complete = self.is_complete(id);
        if complete {
            self.reserved_for = Some(id);
        }
        complete
    }

    /// Takes the waker if the copy has to wait.
    pub(super) fn step(&mut self, cursor: Cursor, waker: &mut Option<Waker>) -> Step<B> {
        if !cursor.has_started && self.is_complete(cursor.id) {
            self.take_over(cursor.id);
            self.wake_others(cursor.id);
        }
        let step = self.next(cursor);
        if matches!(step, Step::Wait) {
            self.wait(cursor.id, waker.take());
        }
        step
    }

    fn next(&mut self, cursor: Cursor) -> Step<B> {
        if matches!(self.source, Source::Failed) {
            return Step::Fail(SOURCE_FAILED);
        }
        if cursor.frames < self.log.frames() {
            return self.log.get(cursor.frames).map_or(Step::Fail(LIMIT_EXCEEDED), Step::Frame);
        }
        let follows = self.reader.is_some_and(|reader| reader != cursor.id);
        match mem::replace(&mut self.source, Source::Lent) {
            Source::Available(source) if !follows => {
                self.reader = Some(cursor.id);
                return Step::Poll(source);
            }
            source => self.source = source,
        }
        match &self.source {
            Source::Ended => Step::End,
            _ if follows && self.rest.is_end_stream => Step::End,
            _ if follows && self.log.exceeds_limit() => Step::Fail(OVERTAKEN),
            _ => Step::Wait,
        }
    }

    pub(super) fn give_back(&mut self, source: Pin<Box<B>>, rest: Rest) {
        self.source = Source::Available(source);
        self.rest = rest;
    }

    /// The source that this copy polled was pending.
    pub(super) fn pause(&mut self, id: Id, waker: Option<Waker>) {
        // A copy that took over meanwhile found the source lent.
        if self.reader != Some(id) {
            self.wake_others(id);
        }
        self.wait(id, waker);
    }

    /// The source that this copy polled returned a frame.
    pub(super) fn record(&mut self, id: Id, frame: &Frame<Bytes>) {
        let successor = [self.reader, self.reserved_for].into_iter().flatten().find(|other| *other != id);
        self.deferred.frames = self.log.push(frame, successor.is_some());
        if let Some(successor) = successor
            && self.log.exceeds_limit()
        {
            self.take_over(successor);
        }
        self.wake_others(id);
    }

    pub(super) fn end(&mut self, id: Id) {
        self.source = Source::Ended;
        self.rest = Rest { hint: SizeHint::with_exact(0), is_end_stream: true };
        self.wake_others(id);
    }

    pub(super) fn fail(&mut self, id: Id) {
        self.source = Source::Failed;
        self.deferred.frames = self.log.give_up();
        self.wake_others(id);
    }

    /// This copy was dropped.
    pub(super) fn remove(&mut self, id: Id) {
        self.reserved_for.take_if(|reserved| *reserved == id);
        self.stop_waiting(id);
        if self.reader.take_if(|reader| *reader == id).is_some() {
            self.wake_others(id);
        }
    }

    pub(super) fn size_hint(&self, cursor: Cursor) -> SizeHint {
        let mut hint = SizeHint::new();
        let only_fails =
            matches!(self.source, Source::Failed) || cursor.frames < self.log.frames() && !self.log.is_complete();
        if only_fails {
            return hint;
        }
        let kept = self.log.bytes().saturating_sub(cursor.bytes);
        hint.set_lower(self.rest.hint.lower().saturating_add(kept));
        if let Some(upper) = self.rest.hint.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint
    }

    pub(super) fn is_end_stream(&self, cursor: Cursor) -> bool {
        cursor.frames == self.log.frames() && self.rest.is_end_stream
    }

    fn take_over(&mut self, id: Id) {
        self.reader = Some(id);
        self.reserved_for.take_if(|reserved| *reserved == id);
    }

    fn wait(&mut self, id: Id, waker: Option<Waker>) {
        self.stop_waiting(id);
        self.waiting.extend(waker.map(|waker| (id, waker)));
    }

    fn stop_waiting(&mut self, id: Id) {
        if let Some(at) = self.waiting.iter().position(|(other, _)| *other == id) {
            self.deferred.outdated.push(self.waiting.swap_remove(at).1);
        }
    }

    fn wake_others(&mut self, id: Id) {
        self.stop_waiting(id);
        self.deferred.wake.append(&mut self.waiting);
    }
}

impl Rest {
    pub(super) fn of(source: &impl Body) -> Self {
        Self { hint: source.size_hint(), is_end_stream: source.is_end_stream() }
    }
}

impl Deferred {
    pub(super) fn run(self) {
        drop((self.frames, self.outdated));
        self.wake.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

const LIMIT_EXCEEDED: &str = "the body exceeded its replay limit, so this copy of it is incomplete";
const SOURCE_FAILED: &str = "the body failed while another copy of it was read";
const OVERTAKEN: &str = "the request is sent again, and the rest of its body goes there";

//! What has been read of a body that copies share: what of it is kept, and whose turn it is to read on.

use std::{mem, pin::Pin, task::Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// Tells one copy of a body from another.
pub(super) type Id = u64;

/// A body, as much of it as was read, and who reads it. Never runs code of the body's: what is left is given out.
pub(super) struct Recording<B> {
    source: Source<B>,
    /// What the source last said of itself, as it may be away.
    hint: SizeHint,
    is_over: bool,
    /// Every frame that was read; None once that is no longer true.
    kept: Option<Vec<Kept>>,
    cost: usize,
    limit: usize,
    frames: usize,
    bytes: u64,
    /// The copy that began last: the others follow it.
    reader: Option<Id>,
    /// A copy that is about to begin, and finds all of the body when it does.
    heir: Option<Id>,
    waiting: Vec<(Id, Waker)>,
    last_id: Id,
}

enum Source<B> {
    Here(Pin<Box<B>>),
    /// It is being read, without the lock.
    Lent,
    Ended,
    Failed,
}

enum Kept {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

/// Where in the body a copy is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) id: Id,
    pub(super) has_begun: bool,
    pub(super) frames: usize,
    pub(super) bytes: u64,
}

/// What a copy does next.
pub(super) enum Step<B> {
    HandOn(Frame<Bytes>),
    /// Read the source, and give it back.
    Read(Pin<Box<B>>),
    Wait,
    End,
    Fail(&'static str),
}

/// What is to be woken and dropped without the lock.
#[must_use]
#[derive(Default)]
pub(super) struct Left {
    kept: Option<Vec<Kept>>,
    others: Vec<(Id, Waker)>,
    own: Option<Waker>,
}

impl<B: Body> Recording<B> {
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self {
            hint: body.size_hint(),
            is_over: body.is_end_stream(),
            source: Source::Here(Box::pin(body)),
            kept: Some(Vec::new()),
            cost: 0,
            limit,
            frames: 0,
            bytes: 0,
            reader: None,
            heir: None,
            waiting: Vec::new(),
            last_id: 0,
        }
    }
}

impl<B> Recording<B> {
    /// Counts one more copy; None if it could not be whole.
    pub(super) fn add(&mut self) -> Option<Id> {
        (self.kept.is_some() && self.cost <= self.limit).then(|| {
            self.last_id += 1;
            self.last_id
        })
    }

    /// Whether this copy, which has not begun, would find all of the body.
    pub(super) fn is_complete(&self, id: Id) -> bool {
        self.kept.is_some() && (self.cost <= self.limit || self.reader == Some(id))
    }

    /// The same, and it stays so.
    pub(super) fn reserve(&mut self, id: Id) -> bool {
        let whole = self.is_complete(id);
        if whole {
            self.heir = Some(id);
        }
        whole
    }

    pub(super) fn step(&mut self, place: Place, waker: &Waker) -> (Step<B>, Left) {
        let mut left = Left::default();
        if !place.has_begun && self.is_complete(place.id) {
            self.begin(place.id);
            left = self.news_of(place.id);
        }
        let step = self.next(place);
        if matches!(step, Step::Wait) {
            left.own = self.wait(place.id, waker);
        }
        (step, left)
    }

    fn next(&mut self, place: Place) -> Step<B> {
        if matches!(self.source, Source::Failed) {
            return Step::Fail(FAILED);
        }
        if place.frames < self.frames {
            let frame = self.kept.as_ref().and_then(|kept| kept.get(place.frames));
            return frame.map_or(Step::Fail(OUTGROWN), |frame| Step::HandOn(frame.to_frame()));
        }
        let follows = self.reader.is_some_and(|reader| reader != place.id);
        match mem::replace(&mut self.source, Source::Lent) {
            Source::Here(body) if !follows => {
                self.reader = Some(place.id);
                return Step::Read(body);
            }
            source => self.source = source,
        }
        match &self.source {
            Source::Ended => Step::End,
            _ if follows && self.is_over => Step::End,
            _ if follows && self.cost > self.limit => Step::Fail(OVERTAKEN),
            _ => Step::Wait,
        }
    }

    /// The source had nothing yet.
    pub(super) fn pause(&mut self, id: Id, waker: &Waker) -> Left {
        // Whoever took over meanwhile found the source away.
        let others = if self.reader == Some(id) { Vec::new() } else { mem::take(&mut self.waiting) };
        let own = self.wait(id, waker);
        Left { others, own, kept: None }
    }

    pub(super) fn give_back(&mut self, source: Pin<Box<B>>, hint: SizeHint, is_over: bool) {
        self.source = Source::Here(source);
        self.hint = hint;
        self.is_over = is_over;
    }

    /// This copy has read a frame.
    pub(super) fn record(&mut self, id: Id, frame: &Frame<Bytes>) -> Left {
        self.frames += 1;
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        let extra = if self.frames > FREE_FRAMES { FRAME } else { 0 };
        let copy = Kept::of(frame);
        self.cost = self.cost.saturating_add(copy.as_ref().map_or(usize::MAX, Kept::cost)).saturating_add(extra);

        let successor = [self.reader, self.heir].into_iter().flatten().find(|other| *other != id);
        let fits = self.cost <= self.limit;
        match (&mut self.kept, copy) {
            (Some(kept), Some(copy)) if fits || successor.is_some() => kept.push(copy),
            _ => return Left { kept: self.kept.take(), ..self.news_of(id) },
        }
        if let Some(successor) = successor.filter(|_| !fits) {
            self.begin(successor);
        }
        self.news_of(id)
    }

    pub(super) fn end(&mut self, id: Id) -> Left {
        self.source = Source::Ended;
        self.hint = SizeHint::with_exact(0);
        self.is_over = true;
        self.news_of(id)
    }

    pub(super) fn fail(&mut self, id: Id) -> Left {
        self.source = Source::Failed;
        Left { kept: self.kept.take(), ..self.news_of(id) }
    }

    /// This copy is no more: another may read.
    pub(super) fn remove(&mut self, id: Id) -> Left {
        self.heir.take_if(|heir| *heir == id);
        let was_reader = self.reader.take_if(|reader| *reader == id).is_some();
        let own = self.no_longer_waiting(id);
        let others = if was_reader { mem::take(&mut self.waiting) } else { Vec::new() };
        Left { others, own, kept: None }
    }

    pub(super) fn size_hint(&self, place: Place) -> SizeHint {
        let mut hint = SizeHint::new();
        if self.is_lost(place) {
            return hint;
        }
        let kept = self.bytes.saturating_sub(place.bytes);
        hint.set_lower(self.hint.lower().saturating_add(kept));
        if let Some(upper) = self.hint.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint
    }

    pub(super) fn is_end_stream(&self, place: Place) -> bool {
        place.frames == self.frames && self.is_over
    }

    /// Whether nothing but an error is left for this copy.
    fn is_lost(&self, place: Place) -> bool {
        matches!(self.source, Source::Failed) || place.frames < self.frames && self.kept.is_none()
    }

    fn begin(&mut self, id: Id) {
        self.reader = Some(id);
        self.heir.take_if(|heir| *heir == id);
    }

    fn wait(&mut self, id: Id, waker: &Waker) -> Option<Waker> {
        let replaced = self.no_longer_waiting(id);
        self.waiting.push((id, waker.clone()));
        replaced
    }

    fn no_longer_waiting(&mut self, id: Id) -> Option<Waker> {
        let at = self.waiting.iter().position(|(other, _)| *other == id)?;
        Some(self.waiting.swap_remove(at).1)
    }

    /// For all others that wait: this copy got further.
    fn news_of(&mut self, id: Id) -> Left {
        let own = self.no_longer_waiting(id);
        Left { own, others: mem::take(&mut self.waiting), kept: None }
    }
}

impl Kept {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().map(|data| Self::Data(data.clone()));
        data.or_else(|| frame.trailers_ref().map(|trailers| Self::Trailers(Box::new(trailers.clone()))))
    }

    fn to_frame(&self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data.clone()),
            Self::Trailers(trailers) => Frame::trailers(HeaderMap::clone(trailers)),
        }
    }

    /// In bytes.
    fn cost(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => {
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + FRAME).sum()
            }
        }
    }
}

impl Left {
    pub(super) fn settle(self) {
        drop((self.kept, self.own));
        self.others.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

const OUTGROWN: &str = "the body outgrew its limit, so this copy of it is not whole";
const FAILED: &str = "the body failed while another copy of it was read";
const OVERTAKEN: &str = "the request is sent again, and the rest of its body goes there";

/// As many frames count no more than their data, so that the limit is a size that users can tell.
const FREE_FRAMES: usize = 1024;
/// What a frame takes besides its data, in bytes: its place in a vector that grows by doubling.
const FRAME: usize = 64;

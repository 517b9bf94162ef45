//! The frames that were read from a body, kept up to a limit.

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

pub(super) struct FrameLog {
    /// `None` once a frame was not kept.
    kept: Option<Vec<KeptFrame>>,
    /// What the frames count towards the limit, in bytes.
    cost: usize,
    limit: usize,
    frames: usize,
    bytes: u64,
}

pub(super) enum KeptFrame {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

impl FrameLog {
    pub(super) fn new(limit: usize) -> Self {
        Self { kept: Some(Vec::new()), cost: 0, limit, frames: 0, bytes: 0 }
    }

    /// How many frames were read, kept or not.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// How many bytes of data were read, kept or not.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether all frames that were read are kept.
    pub(super) fn is_complete(&self) -> bool {
        self.kept.is_some()
    }

    pub(super) fn exceeds_limit(&self) -> bool {
        self.cost > self.limit
    }

    pub(super) fn get(&self, frame: usize) -> Option<Frame<Bytes>> {
        self.kept.as_ref()?.get(frame).map(KeptFrame::to_frame)
    }

    /// Adds a frame; returns the frames that are given up because of it.
    pub(super) fn push(&mut self, frame: &Frame<Bytes>, even_beyond_limit: bool) -> Option<Vec<KeptFrame>> {
        let copy = KeptFrame::of(frame);
        self.frames += 1;
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        self.cost = self.cost.saturating_add(copy.as_ref().map_or(usize::MAX, KeptFrame::cost));
        if self.frames > FREE_FRAMES {
            self.cost = self.cost.saturating_add(OVERHEAD);
        }
        let keep = even_beyond_limit || !self.exceeds_limit();
        match (&mut self.kept, copy) {
            (Some(kept), Some(copy)) if keep => {
                kept.push(copy);
                None
            }
            _ => self.give_up(),
        }
    }

    /// Keeps nothing from now on; returns what was kept.
    pub(super) fn give_up(&mut self) -> Option<Vec<KeptFrame>> {
        self.kept.take()
    }
}

impl KeptFrame {
    /// `None` for a kind of frame that is not known.
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

    fn cost(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => {
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD).sum()
            }
        }
    }
}

/// So many frames cost no more than their data, which makes a limit predictable.
const FREE_FRAMES: usize = 1024;
/// Memory that a frame or a header takes in addition to its bytes.
const OVERHEAD: usize = 64;

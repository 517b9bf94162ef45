//! What copies of a body give, by plain rules.
#![expect(clippy::indexing_slicing, reason = "a wrong index fails the test")]

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;

/// What a stream does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Fails,
    /// Nothing, until more arrives.
    Later,
}

/// What is done to the copies: the number says to which of those that are there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Poll(usize),
    Copy(usize),
    Reserve(usize),
    Drop(usize),
    Arrive,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) steps: Vec<Step>,
    pub(crate) limit: usize,
    /// Whether the stream says how long it is, and when it has ended.
    pub(crate) exact: bool,
    pub(crate) acts: Vec<Act>,
}

/// What a poll brings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    Frame(Step),
    Error,
    End,
    Pending,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copy {
    at: usize,
    has_begun: bool,
    pub(crate) is_done: bool,
}

/// The rules at work on one body.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    exact: bool,
    limit: usize,
    pub(crate) left: VecDeque<Step>,
    read: Vec<Step>,
    /// What the stream ended with.
    end: Option<Got>,
    /// A frame was given to its reader only.
    is_outgrown: bool,
    reader: Option<usize>,
    /// The copy of which it was said that it stays complete.
    pub(crate) reserved_for: Option<usize>,
    pub(crate) copies: Vec<Copy>,
}

impl Model {
    pub(crate) fn new(case: &Case) -> Self {
        Self {
            exact: case.exact,
            limit: case.limit,
            left: case.steps.iter().cloned().collect(),
            read: Vec::new(),
            end: None,
            is_outgrown: false,
            reader: None,
            reserved_for: None,
            copies: vec![Copy::default()],
        }
    }

    fn has_failed(&self) -> bool {
        self.end == Some(Got::Error)
    }

    fn over_limit(&self) -> bool {
        self.read.iter().map(size).sum::<usize>() > self.limit
    }

    pub(crate) fn is_complete(&self, copy: usize) -> bool {
        !self.has_failed() && !self.is_outgrown && (!self.over_limit() || self.reader == Some(copy))
    }

    pub(crate) fn copy(&mut self) -> bool {
        let possible = !self.has_failed() && !self.over_limit();
        if possible {
            self.copies.push(Copy::default());
        }
        possible
    }

    pub(crate) fn drop(&mut self, copy: usize) {
        self.reader = self.reader.filter(|reader| *reader != copy);
        self.reserved_for = self.reserved_for.filter(|reserved| *reserved != copy);
    }

    fn says_end(&self) -> bool {
        self.end == Some(Got::End) || self.exact && !self.left.iter().any(|step| *step != Step::Later)
    }

    pub(crate) fn poll(&mut self, copy: usize) -> Got {
        let Copy { at, has_begun, is_done, .. } = self.copies[copy];
        if is_done {
            return Got::End;
        }
        if !has_begun && self.is_complete(copy) {
            self.reader = Some(copy);
            self.reserved_for = self.reserved_for.filter(|reserved| *reserved != copy);
        }
        self.copies[copy].has_begun = true;
        let got = match self.read.get(at) {
            _ if self.has_failed() => Got::Error,
            Some(_) if self.is_outgrown => Got::Error,
            Some(step) => Got::Frame(step.clone()),
            None => self.read_on(copy),
        };
        match got {
            Got::Frame(_) => self.copies[copy].at += 1,
            Got::Error | Got::End => self.copies[copy].is_done = true,
            Got::Pending => {}
        }
        got
    }

    /// A copy that has got all that was read.
    fn read_on(&mut self, copy: usize) -> Got {
        if let Some(end) = &self.end {
            return end.clone();
        }
        if self.reader.is_some_and(|reader| reader != copy) {
            return match (self.says_end(), self.over_limit()) {
                (true, _) => Got::End,
                (_, true) => Got::Error,
                _ => Got::Pending,
            };
        }
        self.reader = Some(copy);
        match self.left.front() {
            Some(Step::Later) => return Got::Pending,
            Some(Step::Fails) => return self.end.insert(Got::Error).clone(),
            None => return self.end.insert(Got::End).clone(),
            Some(_) => {}
        }
        self.read.extend(self.left.pop_front());
        if self.over_limit() {
            // Whoever is about to begin gets all of it; else it is this copy alone.
            match self.reserved_for.take() {
                Some(reserved) if reserved != copy => self.reader = Some(reserved),
                _ => self.is_outgrown = true,
            }
        }
        self.read.last().cloned().map_or(Got::End, Got::Frame)
    }

    /// The bounds of what is left for a copy, and whether it may say that nothing is.
    pub(crate) fn hint(&self, copy: usize) -> (u64, Option<u64>, bool) {
        let Copy { at, is_done, .. } = self.copies[copy];
        if is_done {
            return (0, Some(0), true);
        }
        let ends = at == self.read.len() && !self.has_failed() && self.says_end();
        if self.has_failed() || at < self.read.len() && self.is_outgrown {
            return (0, None, ends);
        }
        let kept = length(&self.read[at..]);
        let rest = length(&self.left);
        match () {
            () if self.end == Some(Got::End) => (kept, Some(kept), ends),
            () if self.exact => (kept + rest, Some(kept + rest), ends),
            () => (kept, None, ends),
        }
    }
}

pub(crate) fn length<'a>(steps: impl IntoIterator<Item = &'a Step>) -> u64 {
    steps.into_iter().map(|step| if let Step::Data(data) = step { data.len() as u64 } else { 0 }).sum()
}

/// What a step counts of the limit.
fn size(step: &Step) -> usize {
    match step {
        Step::Data(data) => data.len(),
        Step::Trailers(trailers) => trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum(),
        Step::Fails | Step::Later => 0,
    }
}

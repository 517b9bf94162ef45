//! The bytes of one input as a sequence of choices. Read from the front only, so that inputs can be written by hand.

use arbitrary::Unstructured;

pub(crate) struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a number below `end`; 0 when the bytes are used up.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end.saturating_sub(1)).unwrap_or(0)
    }

    /// Returns true once in `n` times; false when the bytes are used up.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        !self.is_empty() && self.below(n) == n - 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Returns this many bytes, or as many as there are.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = most.min(self.0.len());
        self.0.bytes(length).unwrap_or_default()
    }

    /// Returns as many bytes as the next one says, or as many as there are.
    pub(crate) fn some_bytes(&mut self) -> &'a [u8] {
        let length = self.below(256);
        self.bytes(length)
    }
}

//! How far the reading has come, for those who watch it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes taken from an input so far. Clones show the same number.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Bytes so far, as they are in the file: packed ones, where it is packed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An input whose bytes are counted as they are taken.
#[derive(Debug)]
pub struct Counted<R> {
    input: R,
    counter: Counter,
}

impl<R> Counted<R> {
    /// Counts what is read from `input` on `counter`.
    pub const fn new(input: R, counter: Counter) -> Self {
        Self { input, counter }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.counter.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

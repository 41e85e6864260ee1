//! The one buffer between an input and its reader.
//!
//! It holds what was read and not yet taken. It grows to what a reader asks for at once, which readers bound, and never with the input.

use super::{Packing, Unpacked};
use memchr::memchr;
use std::io;

const BEGIN: usize = 256 << 10;
/// Room below which what is left is moved to the front before more is read.
const LOW: usize = 64 << 10;

/// What was read of an input and not yet taken.
pub(crate) struct Window<'a> {
    input: Unpacked<'a>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    taken: u64,
}

/// A line of text, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'b> {
    /// All of it.
    Whole(&'b [u8]),
    /// It was longer than may be, and is gone.
    TooLong,
}

impl<'a> Window<'a> {
    pub(crate) fn new(input: Unpacked<'a>) -> Self {
        Self { input, buffer: vec![0; BEGIN], start: 0, end: 0, ended: false, taken: 0 }
    }

    pub(crate) fn packing(&self) -> Packing {
        self.input.packing()
    }

    pub(crate) fn broken(&mut self) -> Option<String> {
        self.input.broken()
    }

    /// Bytes taken so far, unpacked.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// What is here.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads once. `false` where there is no more.
    pub(crate) fn more(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.start > 0 && self.buffer.len() - self.end < LOW {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let count = self.input.read(&mut self.buffer[self.end..])?;
        self.end += count;
        self.ended = count == 0;
        Ok(count > 0)
    }

    /// Reads until `want` bytes are here, or there is no more.
    pub(crate) fn fill(&mut self, want: usize) -> io::Result<&[u8]> {
        while self.end - self.start < want && self.more()? {}
        Ok(self.bytes())
    }

    /// Takes `count` bytes of those that are here.
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        let start = self.start;
        self.start = (start + count).min(self.end);
        self.taken += (self.start - start) as u64;
        &self.buffer[start..self.start]
    }

    /// Takes `count` bytes, however many that are, without keeping them. Says how many there were.
    pub(crate) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        while left > 0 {
            let here = self.fill(1)?.len();
            if here == 0 {
                break;
            }
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(here);
            self.take(now);
            left -= now as u64;
        }
        Ok(count - left)
    }

    /// Takes the next line. The last one needs no end.
    pub(crate) fn line(&mut self, longest: usize) -> io::Result<Option<Line<'_>>> {
        let mut seen = 0;
        loop {
            if let Some(at) = memchr(b'\n', &self.bytes()[seen..]) {
                let length = seen + at;
                let line = self.take(length + 1);
                return Ok(Some(Line::bounded(&line[..length], longest)));
            }
            seen = self.bytes().len();
            if seen > longest {
                self.rest_of_line()?;
                return Ok(Some(Line::TooLong));
            }
            if !self.more()? {
                return Ok((seen > 0).then(|| Line::bounded(self.take(seen), longest)));
            }
        }
    }

    /// Takes everything up to the end of the line.
    fn rest_of_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(at) = memchr(b'\n', self.bytes()) {
                self.take(at + 1);
                return Ok(());
            }
            self.take(self.end - self.start);
            if !self.more()? {
                return Ok(());
            }
        }
    }
}

impl<'b> Line<'b> {
    fn bounded(line: &'b [u8], longest: usize) -> Self {
        match line.strip_suffix(b"\r").unwrap_or(line) {
            line if line.len() > longest => Self::TooLong,
            line => Self::Whole(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Hands out a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(buffer.len());
            let (now, rest) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = rest;
            Ok(count)
        }
    }

    fn window(text: &[u8], pace: usize) -> Window<'_> {
        Window::new(Unpacked::new(Drip(text, pace)).unwrap())
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_end() {
        for pace in [1, 3, 100] {
            let mut window = window(b"one\r\n\ntwo\nlong line\nlast", pace);
            for line in ["one", "", "two"] {
                assert_eq!(window.line(5).unwrap(), Some(Line::Whole(line.as_bytes())));
            }
            assert_eq!(window.line(5).unwrap(), Some(Line::TooLong));
            assert_eq!(window.line(5).unwrap(), Some(Line::Whole(b"last")));
            assert_eq!(window.line(5).unwrap(), None);
            assert_eq!(window.taken(), 24);
        }
    }

    #[test]
    fn a_giant_line_takes_no_memory() {
        let giant = vec![b'x'; 8 << 20];
        let mut window = window(&giant, usize::MAX);
        assert_eq!(window.line(4096).unwrap(), Some(Line::TooLong));
        assert_eq!(window.line(4096).unwrap(), None);
        assert_eq!(window.taken(), 8 << 20);
        assert_eq!(window.buffer.len(), BEGIN);
    }

    #[test]
    fn bytes_are_skipped_as_far_as_they_go() {
        let text = vec![7; 1 << 20];
        let mut window = window(&text, 100_000);
        assert!(window.fill(300_000).unwrap().len() >= 300_000);
        assert_eq!(window.take(10), [7; 10]);
        assert_eq!(window.skip(1_000_000).unwrap(), 1_000_000);
        assert_eq!(window.skip(u64::MAX).unwrap(), (1 << 20) - 1_000_010);
        assert_eq!(window.taken(), 1 << 20);
    }
}

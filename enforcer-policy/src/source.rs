//! Text that came from a file, and places in it.

use crate::model::Origin;
use std::sync::Arc;

/// One file's text under the name the user gave it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Path as the user named it; shown in diagnostics and beside deciding rules.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

impl Source {
    /// A source from anything that turns into shared text.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    pub(crate) fn origin(&self, span: Span) -> Origin {
        Origin { file: Arc::clone(&self.name), line: span.line, column: span.column }
    }
}

/// A stretch of a [`Source`]. Offsets are bytes; line and column are those of the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Line of the first byte, from 1.
    pub line: u32,
    /// Column of the first byte, from 1, in characters.
    pub column: u32,
}

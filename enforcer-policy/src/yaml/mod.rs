//! Text to trees. The only module that knows the YAML library.
//!
//! The library is granit-parser, the event parser underneath serde-saphyr 2.x, and not serde-saphyr itself:
//! deserialising through serde stops at the first error of a document, and an untyped tree gets neither the quoting
//! style of a scalar (is `1.10` a number or text?) nor the places of both keys of a duplicate. Events give all of it,
//! and a reader that goes on at the next document after a syntax error. What serde-saphyr would add on top is
//! done here: duplicate keys and merge keys are errors, tags as well, aliases have a small budget, nesting is bounded.

mod node;
mod scalar;
mod tree;

use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span};
use granit_parser::{ErrorKind, Event, Marker, Parser, ScanError};
use tree::Tree;

pub use node::{Entry, Node, Value};
pub(crate) use scalar::Plain;

/// Collections inside collections. The deepest document of the language has 9.
const DEPTH: usize = 32;
/// A key longer than this is not a key of ours (YAML's own limit for `key:` on one line).
const KEY_LENGTH: usize = 1024;
/// Beyond this a file is not read at all. Offsets are 32 bits wide.
const FILE_LIMIT: usize = 256 << 20;

/// Calls `each` with every readable document and whether it is sound; returns what is wrong with the others.
pub fn documents<'s>(source: &'s Source, mut each: impl FnMut(Node<'s>, bool)) -> Vec<Diagnostic> {
    let text = &*source.text;
    let mut diagnostics = Vec::new();
    if text.len() > FILE_LIMIT {
        let message = format!("the file has {} bytes, more than the {FILE_LIMIT} that are read", text.len());
        diagnostics.push(Diagnostic::error(source, Span { line: 1, column: 1, ..Span::default() }, message));
        return diagnostics;
    }
    let mut options = granit_parser::options! {
        emit_unresolved_aliases: true,
        simple_key_max_lookahead: KEY_LENGTH,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut tree = Tree::new(source);
    let mut before = 0;
    loop {
        match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => return diagnostics,
            Some(Ok((Event::DocumentStart(..), _))) => {
                tree.clear();
                before = diagnostics.len();
            }
            Some(Ok((Event::DocumentEnd, _))) => {
                if let Some(root) = tree.finish()
                    && !root.is_null()
                {
                    each(root, diagnostics.len() == before);
                }
            }
            Some(Ok((event, place))) => {
                tree.event(event, span(place.start, place.end), &mut diagnostics);
            }
            Some(Err(error)) => {
                tree.clear();
                diagnostics.push(syntax_error(source, &error));
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    return diagnostics;
                }
            }
        }
    }
}

fn span(start: Marker, end: Marker) -> Span {
    Span {
        start: offset(start),
        end: offset(end).max(offset(start)),
        line: u32::try_from(start.line()).unwrap_or(u32::MAX),
        column: u32::try_from(start.col() + 1).unwrap_or(u32::MAX),
    }
}

fn offset(marker: Marker) -> u32 {
    marker.byte_offset().and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
}

fn syntax_error(source: &Source, error: &ScanError) -> Diagnostic {
    let at = span(*error.marker(), *error.marker());
    let (message, help) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => (
            format!("more than {DEPTH} levels of nesting"),
            Some("no document of this language nests this deep"),
        ),
        ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation | ErrorKind::TabNotAllowed => {
            ("a tab is not allowed here".to_owned(), Some("YAML is indented with spaces"))
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            ("a quoted text is not closed".to_owned(), Some("add the missing quote"))
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            (format!("`{open}` is not closed"), Some("add the missing bracket"))
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            (format!("`{open}` is closed by `{close}`"), None)
        }
        ErrorKind::InvalidIndentation => ("this line's indentation fits no line above it".to_owned(), None),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            ("a `key: value` is not possible here".to_owned(), Some("quote a text that contains `: `"))
        }
        ErrorKind::UndeclaredTagHandle => ("YAML tags have no meaning here".to_owned(), None),
        other => (format!("not YAML: {other}"), None),
    };
    let diagnostic = Diagnostic::error(source, at, message);
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

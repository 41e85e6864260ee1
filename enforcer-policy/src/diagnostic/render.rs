//! A finding drawn for people: message, source line with underline, help.

use super::{Diagnostic, Label, Severity, acts_on_terminal, shown};
use annotate_snippets::{Annotation, AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// Whether to write terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// With escape sequences.
    Always,
}

/// Longer lines than this are not drawn, only named: nobody reads them.
const LONGEST_LINE: usize = 2048;

impl Diagnostic {
    /// The form for people, without a line break at the end.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Never => Renderer::plain(),
            Colour::Always => Renderer::styled(),
        };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(self.message.as_str()).elements(self.snippets());
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    /// One snippet for each line involved; labels on the same line share one.
    fn snippets(&self) -> Vec<Snippet<'_, Annotation<'_>>> {
        let mut snippets: Vec<Snippet<'_, Annotation<'_>>> =
            vec![drawn(&self.primary, AnnotationKind::Primary)];
        for label in &self.related {
            let same_line =
                label.source.name == self.primary.source.name && label.span.line == self.primary.span.line;
            if same_line {
                let line = Line::of(label);
                let annotation = AnnotationKind::Context.span(line.underline).label(label.text.as_str());
                let first = snippets.remove(0);
                snippets.insert(0, first.annotation(annotation));
            } else {
                snippets.push(drawn(label, AnnotationKind::Context));
            }
        }
        snippets
    }
}

fn drawn(label: &Label, kind: AnnotationKind) -> Snippet<'_, Annotation<'_>> {
    let line = Line::of(label);
    let mut annotation = kind.span(line.underline);
    if !label.text.is_empty() {
        annotation = annotation.label(label.text.as_str());
    }
    Snippet::source(line.text)
        .path(shown(&label.source.name))
        .line_start(label.span.line as usize)
        .annotation(annotation)
}

/// The first line of a label, safe to show, and where to underline it.
struct Line {
    text: String,
    underline: Range<usize>,
}

impl Line {
    fn of(label: &Label) -> Self {
        let all = &*label.source.text;
        let start = floor(all, label.span.start as usize);
        let from = all[..start].rfind('\n').map_or(0, |at| at + 1);
        let to = all[start..].find('\n').map_or(all.len(), |at| start + at);
        let to = if all[from..to].ends_with('\r') { to - 1 } else { to };
        let start = start.min(to);
        let end = floor(all, (label.span.end as usize).clamp(start, to));
        if to - from > LONGEST_LINE {
            return Self { text: "…".to_owned(), underline: 0.."…".len() };
        }
        // Every replacement is one character for one character, so columns stay what they are in the file.
        let mut text = String::with_capacity(to - from);
        let mut underline = 0..0;
        for (offset, character) in all[from..to].char_indices() {
            if from + offset == start {
                underline.start = text.len();
            }
            if from + offset == end {
                underline.end = text.len();
            }
            let keep = character == '\t' || !acts_on_terminal(character);
            text.push(if keep { character } else { '\u{fffd}' });
        }
        if start == to {
            underline.start = text.len();
        }
        if end == to {
            underline.end = text.len();
        }
        Self { text, underline }
    }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Diagnostic {
    /// Plain text, as [`Diagnostic::render`] without colour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Never))
    }
}

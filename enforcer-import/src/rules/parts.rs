//! Files of several JSON values one after the other, as pages of an answer come: YAML knows no such thing.

use enforcer_policy::diagnostic::Diagnostic;
use enforcer_policy::source::{Source, Span};
use serde::de::IgnoredAny;
use std::collections::HashMap;

/// Every value as a source of its own, at the line and column at which it stands.
pub(super) struct Parts(Vec<Part>);

struct Part {
    source: Source,
    /// Where it is, if this is not all of a file.
    place: Option<Place>,
}

struct Place {
    file: Source,
    /// The value's first byte, in the file and in the part: before that, the part has nothing but room.
    begin: usize,
    room: usize,
    line: u32,
    column: u32,
}

impl Place {
    fn span(&self, span: Span) -> Span {
        let there =
            |at: u32| u32::try_from(self.begin + (at as usize).saturating_sub(self.room)).unwrap_or(u32::MAX);
        let moved = Span { start: there(span.start), end: there(span.end), ..span };
        // What is said of a part as a whole stands at its beginning.
        if (span.start as usize) < self.room {
            Span { line: self.line, column: self.column, ..moved }
        } else {
            moved
        }
    }
}

impl Parts {
    pub(super) fn of(sources: &[Source]) -> Self {
        Self(sources.iter().flat_map(parts).collect())
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().map(|part| &part.source)
    }

    /// Findings as they are in the files.
    pub(super) fn whole(&self, mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let places: HashMap<*const u8, &Place> = self
            .0
            .iter()
            .filter_map(|part| Some((part.source.text.as_ptr(), part.place.as_ref()?)))
            .collect();
        if places.is_empty() {
            return findings;
        }
        let labels =
            findings.iter_mut().flat_map(|one| std::iter::once(&mut one.primary).chain(&mut one.related));
        for label in labels {
            let Some(place) = places.get(&label.source.text.as_ptr()) else { continue };
            label.span = place.span(label.span);
            label.source = place.file.clone();
        }
        findings
    }
}

fn parts(source: &Source) -> Vec<Part> {
    let whole = || vec![Part { source: source.clone(), place: None }];
    let text = &*source.text;
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if !start.starts_with(['{', '[']) {
        return whole();
    }
    let from = text.len() - start.len();
    let mut values = serde_json::Deserializer::from_str(start).into_iter::<IgnoredAny>();
    let mut ends = Vec::new();
    while let Some(Ok(IgnoredAny)) = values.next() {
        ends.push(from + values.byte_offset());
    }
    if ends.len() < 2 {
        return whole();
    }
    // What is no JSON is left to the last part, whose reader says so.
    *ends.last_mut().unwrap_or(&mut 0) = text.len();
    let (mut line, mut column, mut begin) = (0, 0, from);
    advance(&text[..from], &mut line, &mut column);
    let mut parts = Vec::with_capacity(ends.len());
    for end in ends {
        let value = &text[begin..end];
        let padding = "\n".repeat(line) + &" ".repeat(column);
        let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
        let (room, line_of, column_of) = (padding.len(), number(line), number(column));
        let place = Place { file: source.clone(), begin, room, line: line_of, column: column_of };
        parts.push(Part { source: Source::new(source.name.clone(), padding + value), place: Some(place) });
        advance(value, &mut line, &mut column);
        begin = end;
    }
    parts
}

fn advance(text: &str, line: &mut usize, column: &mut usize) {
    match text.rsplit_once('\n') {
        Some((_, last)) => {
            *line += text.matches('\n').count();
            *column = last.chars().count();
        }
        None => *column += text.chars().count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enforcer_policy::yaml::documents;

    #[test]
    fn each_value_stays_where_it_is() {
        let text = "\u{feff}{\"a\": 1}\n\n  {\"b\": \"}{\"}{\"c\": 3} [4]\n";
        let file = Source::new("f", text);
        let parts = Parts::of(std::slice::from_ref(&file));
        let mut found = Vec::new();
        for part in parts.sources() {
            let wrong = documents(part, |root, _| found.push(Diagnostic::error(part, root.span, "here")));
            assert!(wrong.is_empty(), "{}", wrong[0]);
        }
        let found = parts.whole(found);
        let places: Vec<(u32, u32)> =
            found.iter().map(|one| (one.primary.span.line, one.primary.span.column)).collect();
        assert_eq!(places[1..], [(3, 3), (3, 14), (3, 23)]);
        for (one, written) in found.iter().zip(["{\"a\"", "{\"b\"", "{\"c\"", "[4]"]) {
            assert_eq!(one.primary.source, file);
            assert!(text[one.primary.span.start as usize..].starts_with(written), "{written}");
        }
        let last = parts.sources().last().unwrap();
        let beginning = Span { line: 1, column: 1, ..Span::default() };
        let of_all = parts.whole(vec![Diagnostic::error(last, beginning, "all of it")]);
        assert_eq!((of_all[0].primary.span.line, of_all[0].primary.span.column), (3, 22));
        for single in ["a: 1\n---\nb: 2\n", "{\"a\": 1}", "{\"a\": 1} # x", "[", ""] {
            assert_eq!(parts_of(single), 1, "{single}");
        }
    }

    fn parts_of(text: &str) -> usize {
        Parts::of(&[Source::new("f", text)]).sources().count()
    }
}

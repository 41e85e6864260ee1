//! What is wrong with a document, where, and how to mend it.
//!
//! Style of the text: messages in lower case without a full stop, offending values in backticks, the way out in a
//! separate help line. Values come from files that anyone may have written: they are bounded and escaped by [`shown`].

mod json;
mod render;

use crate::source::{Source, Span};
use std::fmt::Write as _;

pub use json::{DiagnosticJson, PlaceJson};
pub use render::Colour;

/// Whether a diagnostic makes the set unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a look; the set is usable.
    Warning,
    /// The set is not usable.
    Error,
}

/// A place in a file with a few words on what it has to do with the matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The file.
    pub source: Source,
    /// Where in it.
    pub span: Span,
    /// Written beside the underline; may be empty.
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub primary: Label,
    /// Other places that have to do with it.
    pub related: Vec<Label>,
    /// How to mend it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            primary: Label { source: source.clone(), span, text: String::new() },
            related: Vec::new(),
            help: None,
        }
    }

    /// A warning at a place.
    pub fn warning(source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(source, span, message) }
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds words beside the underline.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, source: &Source, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Label { source: source.clone(), span, text: text.into() });
        self
    }

    /// Whether it makes the set unusable.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A value from a document as it may be shown: at most 64 characters, and none that a terminal would act on.
pub fn shown(value: &str) -> String {
    shown_within(value, 64)
}

/// A value as it may be shown, at most so many of its characters.
pub fn shown_within(value: &str, most: usize) -> String {
    let mut out = String::with_capacity(value.len().min(most));
    for (index, character) in value.chars().enumerate() {
        if index == most {
            out.push('…');
            break;
        }
        if acts_on_terminal(character) {
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// A path as it may be shown: whole, but nothing that a terminal would act on.
pub fn shown_path(path: &str) -> String {
    let pieces: Vec<String> = path.split('/').map(shown).collect();
    pieces.join("/")
}

/// The first `most` of a list, and how many more there are.
pub fn listed(texts: &[String], most: usize) -> String {
    let more = texts.len().saturating_sub(most);
    let list = texts[..texts.len() - more].join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

/// `1 file`, `2 files`, `2 policies`, `2 addresses`.
pub fn counted(number: u64, what: &str) -> String {
    match (number, what.strip_suffix('y'), what.ends_with('s')) {
        (1, _, _) => format!("1 {what}"),
        (_, Some(stem), _) => format!("{number} {stem}ies"),
        (_, None, true) => format!("{number} {what}es"),
        (_, None, false) => format!("{number} {what}s"),
    }
}

/// Control characters, and marks that change the direction or visibility of text.
fn acts_on_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The word among `known` that was probably meant by `written`.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > 64 {
        return None;
    }
    let lower = written.to_ascii_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let mut begun =
        known.iter().filter(|word| lower.len() > 2 && word.to_ascii_lowercase().starts_with(&lower));
    if let (Some(only), None) = (begun.next(), begun.next()) {
        return Some(only);
    }
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&lower, &word.to_ascii_lowercase()), word))
        .filter(|(distance, word)| *distance <= word.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The words among `known` that are nearest to `written`, at most `most`, the nearest first.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    if written.is_empty() || written.len() > 253 {
        return Vec::new();
    }
    let lower = written.to_ascii_lowercase();
    let far = |word: &str| {
        let word = word.to_ascii_lowercase();
        let part = word.contains(&lower) || lower.contains(&word);
        if part { 1 } else { strsim::damerau_levenshtein(&lower, &word) }
    };
    let mut near: Vec<(usize, &str)> = known.into_iter().map(|word| (far(word), word)).collect();
    near.retain(|(distance, word)| *distance <= word.chars().count().div_ceil(3));
    near.sort_unstable();
    near.into_iter().take(most).map(|(_, word)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, nearest, shown, shown_within};

    #[test]
    fn e96_shown_escapes_and_bounds() {
        assert_eq!(shown("plain ü"), "plain ü");
        assert_eq!(shown("a\u{1b}[31m\u{202e}\u{9b}"), "a\\u{1b}[31m\\u{202e}\\u{9b}");
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }

    #[test]
    fn long_text_is_cut_and_marks_are_spelled_out() {
        assert_eq!(shown_within("a\u{202e}b\u{7}", 10), "a\\u{202e}b\\u{7}");
        assert_eq!(shown_within(&"x".repeat(200), 130), format!("{}…", "x".repeat(130)));
        assert_eq!(shown_within(&"x".repeat(130), 130), "x".repeat(130));
    }

    #[test]
    fn several_names_may_be_near() {
        let known = ["ledger", "ledger-db", "web", "checkout"];
        assert_eq!(nearest("ledgr", known, 3), ["ledger"]);
        assert_eq!(nearest("ledger", known, 3), ["ledger", "ledger-db"]);
        assert!(nearest("banana", known, 3).is_empty());
        assert!(nearest("", known, 3).is_empty());
    }

    #[test]
    fn suggestions_are_near() {
        assert_eq!(did_you_mean("form", ["from", "to"]), Some("from"));
        assert_eq!(did_you_mean("Workloads", ["Workload", "FlowTest"]), Some("Workload"));
        assert_eq!(did_you_mean("apiversion", ["apiVersion"]), Some("apiVersion"));
        assert_eq!(did_you_mean("guard", ["guardrail", "baseline"]), Some("guardrail"));
        assert_eq!(did_you_mean("echo", ["echo-request", "echo-reply"]), None);
        assert_eq!(did_you_mean("banana", ["from", "to"]), None);
    }
}

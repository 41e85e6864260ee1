//! A diagnostic on its way to whoever asked.

use enforcer_policy::diagnostic::Diagnostic;
use enforcer_policy::model::Origin;
use enforcer_policy::source::{Source, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A diagnostic for programs, with the drawing for people beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// Source line, underline and help, as text.
    #[serde(default)]
    pub rendered: String,
    /// Place, help and related places.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Finding {
    /// One that has no place in any file.
    #[must_use]
    pub fn placeless(severity: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let rendered = format!("{severity}: {message}");
        Self { severity: severity.to_owned(), message, rendered, rest: Map::new() }
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: &str) -> Self {
        self.rest.insert("help".to_owned(), help.into());
        self.rendered = format!("{}\n  = help: {help}", self.rendered);
        self
    }

    /// A warning about what begins at `origin`, underlined to the end of the line where the text is there.
    #[must_use]
    pub fn warning_at(origin: &Origin, source: Option<&Source>, message: String, help: &str) -> Self {
        let Some(source) = source else { return Self::placeless("warning", message).help(help) };
        let line = source
            .text
            .split_inclusive('\n')
            .take(origin.line.saturating_sub(1) as usize)
            .map(str::len)
            .sum();
        let text: &str = source.text.get(line..).unwrap_or_default();
        let text = text.lines().next().unwrap_or_default();
        let skipped: usize =
            text.chars().take(origin.column.saturating_sub(1) as usize).map(char::len_utf8).sum();
        let place = |at: usize| u32::try_from(line + at).unwrap_or(u32::MAX);
        let span = Span {
            start: place(skipped),
            end: place(text.len().max(skipped)),
            line: origin.line,
            column: origin.column,
        };
        Self::from(&Diagnostic::warning(source, span, message).help(help))
    }

    /// `file:line:column: message`, for logs.
    #[must_use]
    pub fn one_line(&self) -> String {
        let place = |key: &str| {
            self.rest.get(key).map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
        };
        match (place("file"), place("line"), place("column")) {
            (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}: {}", self.message),
            _ => self.message.clone(),
        }
    }

    /// Whether it makes the set unusable.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Self {
        let mut rest = match serde_json::to_value(diagnostic) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        };
        rest.remove("severity");
        rest.remove("message");
        Self {
            severity: if diagnostic.is_error() { "error" } else { "warning" }.to_owned(),
            message: diagnostic.message.clone(),
            rendered: diagnostic.to_string(),
            rest,
        }
    }
}

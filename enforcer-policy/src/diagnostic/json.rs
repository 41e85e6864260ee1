//! The same finding for programs: one flat object each.

use super::{Diagnostic, Label, Severity};
use serde::Serialize;

/// A diagnostic as JSON. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Clone, Debug, Serialize)]
pub struct DiagnosticJson<'a> {
    /// `error` or `warning`.
    pub severity: Severity,
    /// What is wrong.
    pub message: &'a str,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<&'a str>,
    /// Where.
    #[serde(flatten)]
    pub place: PlaceJson<'a>,
    /// Other places that have to do with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<PlaceJson<'a>>,
}

/// A stretch of a file.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceJson<'a> {
    /// Path as the user named it.
    pub file: &'a str,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// One past the last column.
    pub end_column: u32,
    /// What this place has to do with the matter.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub label: &'a str,
}

impl<'a> From<&'a Label> for PlaceJson<'a> {
    fn from(label: &'a Label) -> Self {
        let span = label.span;
        let text = label.source.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let lines = text.matches('\n').count() as u32;
        let last = text.rsplit('\n').next().unwrap_or_default().chars().count() as u32;
        Self {
            file: &label.source.name,
            line: span.line,
            column: span.column,
            end_line: span.line + lines,
            end_column: if lines == 0 { span.column + last } else { last + 1 },
            label: &label.text,
        }
    }
}

impl Diagnostic {
    /// The form for programs.
    pub fn to_json(&self) -> DiagnosticJson<'_> {
        DiagnosticJson {
            severity: self.severity,
            message: &self.message,
            help: self.help.as_deref(),
            place: (&self.primary).into(),
            related: self.related.iter().map(PlaceJson::from).collect(),
        }
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

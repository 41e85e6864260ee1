//! Files to one checked set: what can only be seen with all documents side by side.

mod claims;
mod names;
mod overlap;
mod warnings;

use crate::diagnostic::{Colour, Diagnostic};
use crate::document::{Document, Mention, Parsed, ParsedFile, parse_file};
use crate::model::PolicySet;
use crate::source::{Source, Span};
use jiff::Timestamp;

/// A set and everything that was found about it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The documents without errors of their own, in reading order. Usable only where there is no error.
    pub set: PolicySet,
    /// All findings: file by file in order of place, then those across files.
    pub diagnostics: Vec<Diagnostic>,
}

/// A set that is in error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the policy set has {} errors", .0.iter().filter(|diagnostic| diagnostic.is_error()).count())]
pub struct Invalid(pub Vec<Diagnostic>);

impl Checked {
    /// Whether anything makes the set unusable.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// The set with its warnings, or everything that is wrong with it.
    pub fn into_result(self) -> Result<(PolicySet, Vec<Diagnostic>), Invalid> {
        if self.has_errors() { Err(Invalid(self.diagnostics)) } else { Ok((self.set, self.diagnostics)) }
    }

    /// All findings drawn for people, one blank line between them.
    pub fn render(&self, colour: Colour) -> String {
        let drawn: Vec<String> =
            self.diagnostics.iter().map(|diagnostic| diagnostic.render(colour)).collect();
        drawn.join("\n\n")
    }
}

/// Reads and checks all files at once. `now` is for warnings about what has expired.
pub fn parse(sources: &[Source], now: Timestamp) -> Checked {
    let files: Vec<ParsedFile> = sources.iter().map(parse_file).collect();
    assemble(&files, now)
}

/// Puts files that were read one by one together, and checks what only all of them can tell.
pub fn assemble<'a>(files: impl IntoIterator<Item = &'a ParsedFile>, now: Timestamp) -> Checked {
    let files: Vec<&ParsedFile> = files.into_iter().collect();
    let mut diagnostics: Vec<Diagnostic> =
        files.iter().flat_map(|file| file.diagnostics().iter().cloned()).collect();
    let documents: Vec<Placed<'_>> = files
        .iter()
        .flat_map(|file| file.entries.iter().map(|parsed| Placed { source: &file.source, parsed }))
        .collect();
    names::check(&documents, &mut diagnostics);
    claims::check(&documents, &mut diagnostics);
    // Where something is missing from the set because it was in error, these would only mislead.
    if !diagnostics.iter().any(Diagnostic::is_error) {
        warnings::check(&documents, now, &mut diagnostics);
    }
    Checked { set: collect(&documents), diagnostics }
}

/// A document with the file it stands in.
#[derive(Clone, Copy)]
struct Placed<'a> {
    source: &'a Source,
    parsed: &'a Parsed,
}

impl<'a> Placed<'a> {
    fn document(self) -> Option<&'a Document> {
        self.parsed.document.as_ref()
    }

    fn name(self) -> &'a str {
        self.parsed.name.as_ref().map_or("", |(name, _)| name)
    }

    fn mentions(self) -> impl Iterator<Item = (Mention, Span)> + 'a {
        self.parsed.mentions.iter().copied()
    }
}

fn collect(documents: &[Placed<'_>]) -> PolicySet {
    let mut set = PolicySet::default();
    for document in documents.iter().filter_map(|placed| placed.document()) {
        match document {
            Document::Workload(workload) => set.workloads.push(workload.clone()),
            Document::AddressGroup(group) => set.groups.push(group.clone()),
            Document::FlowPolicy(policy) => set.policies.push(policy.as_ref().clone()),
            Document::Segment(segment) => set.segments.push(segment.as_ref().clone()),
            Document::FlowTest(test) => set.tests.push(test.as_ref().clone()),
            Document::AgentConfig(config) => set.configs.push(config.as_ref().clone()),
        }
    }
    set.workloads.shrink_to_fit();
    set.policies.shrink_to_fit();
    set
}

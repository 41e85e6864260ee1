//! The policies' text, line by line, for links to lead to.

use super::words::number;
use crate::report::{CauseLine, Report};
use enforcer_policy::diagnostic::shown_within;
use enforcer_policy::source::Source;
use rustc_hash::{FxHashMap, FxHashSet};

/// Lines of all files together.
const LINES: usize = 20_000;
/// Characters of a line.
const LINE: usize = 400;

/// The files as they are shown.
pub(super) struct Policies {
    pub(super) files: Vec<File>,
    /// Lines that didn't fit.
    pub(super) left_out: usize,
    index: FxHashMap<String, usize>,
}

pub(super) struct File {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) lines: Vec<Line>,
    pub(super) left_out: usize,
}

pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
    /// Whether a rule that is written here decided flows, and what to say of it.
    pub(super) used: Option<String>,
}

/// A line of a file, with the anchor it has in the page, if it is there.
pub(super) struct Place {
    pub(super) text: String,
    pub(super) anchor: Option<String>,
}

impl Policies {
    pub(super) fn of(report: &Report, sources: &[Source]) -> Self {
        let mut used: FxHashMap<(&str, u32), u64> = FxHashMap::default();
        for rule in &report.rules {
            *used.entry((&rule.file, rule.line)).or_default() += rule.figures.flows;
        }
        let mut names = FxHashSet::default();
        let mut room = LINES;
        let mut policies = Self { files: Vec::new(), left_out: 0, index: FxHashMap::default() };
        for source in sources.iter().filter(|source| names.insert(source.name.as_ref())) {
            let all = source.text.lines().count();
            let taken = all.min(room);
            room -= taken;
            let said = |flows: u64| match flows {
                0 => "decided nothing".to_owned(),
                1 => "decided 1 flow".to_owned(),
                flows => format!("decided {} flows", number(flows)),
            };
            let line = |(text, line): (&str, usize)| Line {
                number: line,
                text: shown_within(text, LINE),
                used: used.get(&(source.name.as_ref(), line as u32)).map(|flows| said(*flows)),
            };
            policies.index.insert(source.name.to_string(), policies.files.len());
            policies.files.push(File {
                number: policies.files.len() + 1,
                name: shown_within(&source.name, LINE),
                lines: source.text.lines().zip(1..).take(taken).map(line).collect(),
                left_out: all - taken,
            });
            policies.left_out += all - taken;
        }
        policies
    }

    /// Where something is written.
    pub(super) fn place(&self, file: &str, line: u32) -> Place {
        let shown = self.index.get(file).map(|at| &self.files[*at]);
        let there = shown.filter(|file| (1..=file.lines.len()).contains(&(line as usize)));
        Place {
            text: format!("{}:{line}", shown_within(file, LINE)),
            anchor: there.map(|file| format!("file-{}-{line}", file.number)),
        }
    }

    /// The same for a cause that may have no place.
    pub(super) fn of_cause(&self, cause: &CauseLine) -> Option<Place> {
        Some(self.place(cause.file.as_ref()?, cause.line?))
    }
}

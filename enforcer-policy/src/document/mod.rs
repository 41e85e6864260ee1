//! One file: YAML trees to documents, each checked by itself.

mod address;
mod agent_config;
mod envelope;
mod flow_policy;
mod flow_test;
mod icmp;
mod labels;
mod ports;
mod property;
mod reader;
mod records;
mod selector;
mod threshold;
mod workload;
mod workload_match;

use crate::diagnostic::Diagnostic;
use crate::model::{AddressGroup, AgentConfig, FlowPolicy, FlowTest, Labels, Segment, Workload};
use crate::source::{Source, Span};
use crate::yaml::{self, Node};
use reader::Reader;
use std::collections::HashSet;
use std::fmt;

pub use labels::{check_posture, is_label};
pub use ports::PortError;
pub(crate) use reader::{Mention, Side};

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Labels for something that runs on a host.
    Workload,
    /// Labels for addresses where no agent runs.
    AddressGroup,
    /// Which flows are allowed or denied.
    FlowPolicy,
    /// How strictly workloads are held.
    Segment,
    /// What must be allowed and denied.
    FlowTest,
    /// The daemon's own settings.
    AgentConfig,
}

impl Kind {
    const ALL: [(&'static str, Self); 6] = [
        ("Workload", Self::Workload),
        ("AddressGroup", Self::AddressGroup),
        ("FlowPolicy", Self::FlowPolicy),
        ("Segment", Self::Segment),
        ("FlowTest", Self::FlowTest),
        ("AgentConfig", Self::AgentConfig),
    ];

    /// The word in `kind:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workload => "Workload",
            Self::AddressGroup => "AddressGroup",
            Self::FlowPolicy => "FlowPolicy",
            Self::Segment => "Segment",
            Self::FlowTest => "FlowTest",
            Self::AgentConfig => "AgentConfig",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A document of any kind. Of Workloads there may be many more than of all others together: they don't take the room of the largest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A `Workload`.
    Workload(Workload),
    /// An `AddressGroup`.
    AddressGroup(AddressGroup),
    /// A `FlowPolicy`.
    FlowPolicy(Box<FlowPolicy>),
    /// A `Segment`.
    Segment(Box<Segment>),
    /// A `FlowTest`.
    FlowTest(Box<FlowTest>),
    /// An `AgentConfig`.
    AgentConfig(Box<AgentConfig>),
}

/// What one file says, as far as it can be told without the others. Worth caching per file.
#[derive(Clone, Debug)]
pub struct ParsedFile {
    pub(crate) source: Source,
    pub(crate) entries: Vec<Parsed>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// One document of a file: whose name counts even where the rest is in error.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) kind: Kind,
    pub(crate) name: Option<(String, Span)>,
    pub(crate) document: Option<Document>,
    pub(crate) mentions: Box<[(Mention, Span)]>,
}

impl ParsedFile {
    /// The file it came from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The documents without errors, in order.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.entries.iter().filter_map(|entry| entry.document.as_ref())
    }

    /// Everything found in this file by itself, in order of place.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

/// Reads one file.
pub fn parse_file(source: &Source) -> ParsedFile {
    let mut entries = Vec::new();
    let (mut diagnostics, mut labels) = (Vec::new(), HashSet::new());
    let unreadable = yaml::documents(source, |root, sound| {
        let mut parsed = read(source, &root, &mut diagnostics, &mut labels);
        if let (Some(parsed), false) = (&mut parsed, sound) {
            parsed.document = None;
        }
        entries.extend(parsed);
    });
    diagnostics.extend(unreadable);
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span);
    // A value that several aliases name is read once for each; its errors are said once.
    diagnostics.dedup();
    entries.shrink_to_fit();
    ParsedFile { source: source.clone(), entries, diagnostics }
}

/// Reads one document; `None` where not even its kind is known.
fn read(
    source: &Source,
    root: &Node<'_>,
    diagnostics: &mut Vec<Diagnostic>,
    labels: &mut HashSet<Labels>,
) -> Option<Parsed> {
    let before = diagnostics.len();
    let mut reader = Reader { source, diagnostics, mentions: Vec::new(), labels };
    let envelope = envelope::read(&mut reader, root)?;
    let name = envelope.name;
    let document = spec(&mut reader, root, &envelope);
    let mentions = reader.mentions.into_boxed_slice();
    let failed = diagnostics[before..].iter().any(Diagnostic::is_error);
    Some(Parsed {
        kind: envelope.kind,
        name: name.map(|(name, span)| (name.to_owned(), span)),
        document: document.filter(|_| !failed),
        mentions,
    })
}

fn spec(reader: &mut Reader<'_>, root: &Node<'_>, envelope: &envelope::Envelope<'_, '_>) -> Option<Document> {
    let name = envelope.name.map(|(name, _)| name.to_owned()).unwrap_or_default();
    let origin = reader.source.origin(root.span);
    let node = envelope.spec;
    Some(match envelope.kind {
        Kind::Workload => Document::Workload(workload::workload(reader, node?, name, origin)?),
        Kind::AddressGroup => Document::AddressGroup(workload::address_group(reader, node?, name, origin)?),
        Kind::FlowPolicy => Document::FlowPolicy(flow_policy::read(reader, node?, name, origin)?.into()),
        Kind::Segment => Document::Segment(workload::segment(reader, node?, name, origin)?.into()),
        Kind::FlowTest => Document::FlowTest(flow_test::read(reader, node?, name, origin)?.into()),
        Kind::AgentConfig => Document::AgentConfig(agent_config::read(reader, node, name, origin)?.into()),
    })
}

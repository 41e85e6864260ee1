//! Names are unique for each kind.

use super::Placed;
use crate::diagnostic::Diagnostic;
use crate::document::Kind;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// `AgentConfig` is left out: drop-ins carry the same name, and the later one overrides the earlier.
pub(super) fn check(documents: &[Placed<'_>], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = HashMap::with_capacity(documents.len());
    for placed in documents {
        let kind = placed.parsed.kind;
        let Some((name, span)) = &placed.parsed.name else { continue };
        if kind == Kind::AgentConfig {
            continue;
        }
        match seen.entry((kind, name.as_str())) {
            Entry::Vacant(vacant) => {
                vacant.insert((placed.source, *span));
            }
            Entry::Occupied(first) => {
                let (source, first) = *first.get();
                diagnostics.push(
                    Diagnostic::error(placed.source, *span, format!("two documents are the {kind} `{name}`"))
                        .related(source, first, "first one here")
                        .help("give one of them another name, or take it away"),
                );
            }
        }
    }
}

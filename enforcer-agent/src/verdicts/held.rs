//! Which workloads a new set holds otherwise than the old one: the first policies of all change most, and no rule says so.

use crate::protocol::Held;
use enforcer_policy::compile::Compiled;
use enforcer_policy::diagnostic::{listed, shown};
use enforcer_policy::model::SegmentMode;
use std::collections::{BTreeMap, BTreeSet};

/// Names that are shown in one line.
const NAMES: usize = 12;

type Mode = Option<SegmentMode>;

/// Workloads by what becomes of them.
pub(crate) fn held(old: Option<&Compiled>, new: &Compiled) -> Vec<Held> {
    let (before, after) = (old.map(modes).unwrap_or_default(), modes(new));
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let mut kinds: Vec<((Mode, Mode), Vec<String>)> = Vec::new();
    for name in names {
        let kind = (before.get(name).copied(), after.get(name).copied());
        if kind.0 == kind.1 {
            continue;
        }
        match kinds.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, workloads)) => workloads.push(name.to_owned()),
            None => kinds.push((kind, vec![name.to_owned()])),
        }
    }
    kinds
        .into_iter()
        .map(|((was, is), workloads)| Held {
            text: line(&workloads, was, is),
            workloads,
            before: was.map(|mode| mode.word().to_owned()),
            after: is.map(|mode| mode.word().to_owned()),
        })
        .collect()
}

/// By name; the same mode for all of a workload's devices.
fn modes(set: &Compiled) -> BTreeMap<&str, SegmentMode> {
    set.subjects.iter().map(|subject| (subject.workload.as_str(), subject.mode)).collect()
}

fn line(workloads: &[String], was: Mode, is: Mode) -> String {
    let names: Vec<String> = workloads.iter().map(|name| shown(name)).collect();
    let word = |mode: Mode| mode.map_or("not judged", SegmentMode::word);
    let then = match is {
        Some(SegmentMode::Enforce) => "what no rule allows is denied from then on",
        Some(SegmentMode::Audit) => "what no rule allows passes and is reported as audited",
        Some(SegmentMode::Off) | None => "everything passes, whatever the rules say",
    };
    format!("{}: {} -> {}: {then}", listed(&names, NAMES), word(was), word(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_becomes_of_whom() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            line(&names, None, Some(SegmentMode::Enforce)),
            "a, b: not judged -> enforce: what no rule allows is denied from then on"
        );
        assert_eq!(
            line(&names[..1], Some(SegmentMode::Audit), None),
            "a: audit -> not judged: everything passes, whatever the rules say"
        );
    }
}

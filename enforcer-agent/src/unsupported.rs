//! What documents ask for and this build doesn't do. It is said wherever the documents are judged, never passed over.

use crate::protocol::Finding;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::{Origin, PolicySet, WorkloadMatch};
use enforcer_policy::source::Source;
use std::collections::HashMap;

/// A warning for each match that no hook serves yet. `sources` are what the set was read from.
#[must_use]
pub(crate) fn matches<'a>(set: &PolicySet, sources: impl IntoIterator<Item = &'a Source>) -> Vec<Finding> {
    let concerned: Vec<_> = set
        .workloads
        .iter()
        .filter_map(|workload| {
            let kinds: Vec<_> = workload.matches.iter().filter_map(kind).collect();
            (!kinds.is_empty()).then_some((workload, kinds))
        })
        .collect();
    if concerned.is_empty() {
        return Vec::new();
    }
    let sources: HashMap<&str, &Source> = sources.into_iter().map(|source| (&*source.name, source)).collect();
    let mut findings = Vec::new();
    for (workload, kinds) in concerned {
        for kind in kinds {
            let message = format!(
                "the workload `{}` has a `{kind}` match, which is not yet enforced on this build",
                shown(&workload.name)
            );
            let help = "packets of this workload are judged only where an `interface` match finds it";
            findings.push(Finding::warning_at(
                &workload.origin,
                sources.get(&*workload.origin.file).copied(),
                message,
                help,
            ));
        }
    }
    findings
}

/// A warning for each AgentConfig among policies, where it has no effect.
#[must_use]
pub(crate) fn configs<'a>(set: &PolicySet, sources: impl IntoIterator<Item = &'a Source>) -> Vec<Finding> {
    let sources: HashMap<&str, &Source> = match set.configs.is_empty() {
        true => return Vec::new(),
        false => sources.into_iter().map(|source| (&*source.name, source)).collect(),
    };
    let help = "the daemon's settings are read from `enforcer run --config` or from /etc/enforcer";
    let stray = |origin: &Origin, name: &str| {
        let message = format!("the AgentConfig `{}` has no effect among policies", shown(name));
        Finding::warning_at(origin, sources.get(&*origin.file).copied(), message, help)
    };
    set.configs.iter().filter_map(|config| Some(stray(config.origin.as_ref()?, &config.name))).collect()
}

fn kind(matched: &WorkloadMatch) -> Option<&'static str> {
    match matched {
        WorkloadMatch::Container { .. } => Some("container"),
        WorkloadMatch::Unit(_) | WorkloadMatch::Cgroup { .. } | WorkloadMatch::Interface(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enforcer_policy::check::parse;

    #[test]
    fn every_unserved_match_is_named_with_its_place() {
        let text = "apiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {name: db}\n\
                    spec:\n  labels: {app: db}\n  match: [{unit: pg.service}, {container: {labels: {a: b}}}, {cgroup: /a}]\n";
        let source = Source::new("a.yaml", text);
        let checked = parse(std::slice::from_ref(&source), jiff::Timestamp::now());
        assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
        let findings = matches(&checked.set, [&source]);
        let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(
            messages,
            ["the workload `db` has a `container` match, which is not yet enforced on this build"]
        );
        assert_eq!((&findings[0].rest["file"], &findings[0].rest["line"]), (&"a.yaml".into(), &1.into()));
    }
}

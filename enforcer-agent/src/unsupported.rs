//! What documents ask for and this build doesn't do. It is said wherever the documents are judged, never passed over.

use crate::protocol::Finding;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::{Origin, PolicySet};
use enforcer_policy::source::Source;
use std::collections::HashMap;

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

#[cfg(test)]
mod tests {
    use super::*;
    use enforcer_policy::check::parse;

    #[test]
    fn settings_among_policies_are_named_with_their_place() {
        let text = "apiVersion: enforcer.dev/v1alpha1\nkind: AgentConfig\nmetadata: {name: agent}\n";
        let source = Source::new("a.yaml", text);
        let checked = parse(std::slice::from_ref(&source), jiff::Timestamp::now());
        let findings = configs(&checked.set, [&source]);
        let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, ["the AgentConfig `agent` has no effect among policies"]);
        assert_eq!((&findings[0].rest["file"], &findings[0].rest["line"]), (&"a.yaml".into(), &1.into()));
    }
}

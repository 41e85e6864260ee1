//! What connectivity a new set changes.

use super::inputs;
use crate::daemon::clock::Instants;
use crate::pipeline::Surroundings;
use crate::protocol::Change;
use crate::selection;
use enforcer_policy::compile::Compiled;
use enforcer_policy::explain::{Explainer, port_text, single_port};
use enforcer_policy::model::{Endpoint, PolicySet, PortSpec};

// INTERIM
pub(crate) fn changes(
    old: Option<(&PolicySet, &Compiled)>,
    new: (&PolicySet, &Compiled),
    around: &Surroundings,
) -> (Vec<Change>, u64) {
    let now = Instants::now();
    let mut changes = Vec::new();
    let mut before = old.map(|(set, compiled)| Explainer::new(inputs(set, around, now), compiled));
    let mut after = Explainer::new(inputs(new.0, around, now), new.1);
    let names: Vec<_> = new.0.workloads.iter().map(|w| Endpoint::Workload(w.name.clone())).collect();
    let olds = old.map(|(set, _)| set.policies.as_slice()).unwrap_or_default();
    let mut ports: Vec<PortSpec> = new
        .0
        .policies
        .iter()
        .chain(olds)
        .flat_map(|p| p.flows.iter().flat_map(|f| f.ports.clone()))
        .collect();
    ports.sort();
    ports.dedup();
    for from in &names {
        for to in &names {
            for (protocol, port) in ports.iter().filter_map(single_port) {
                let was = before
                    .as_mut()
                    .and_then(|e| e.paths(from, to, protocol, port).first().map(|p| p.verdict.word.word()));
                let is = after.paths(from, to, protocol, port).first().map(|p| p.verdict.word.word());
                if was != is {
                    changes.push(Change {
                        text: format!(
                            "{} -> {} {}: {} -> {}",
                            selection::text(from),
                            selection::text(to),
                            port_text(protocol, port),
                            was.unwrap_or("denied"),
                            is.unwrap_or("denied")
                        ),
                        fields: Default::default(),
                    });
                }
            }
        }
    }
    (changes, 0)
}

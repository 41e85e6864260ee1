//! Who speaks to whom.

use crate::report::{Identity, Report};
use rustc_hash::FxHashMap;

/// Ports that are kept of an edge.
const PORTS: usize = 12;

/// Identities, and what goes between them.
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) edges: Vec<Edge<'a>>,
}

pub(super) struct Node<'a> {
    pub(super) identity: &'a Identity,
    /// Flows at either end.
    pub(super) flows: u64,
}

/// Flows between two identities with the same verdict.
pub(super) struct Edge<'a> {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) verdict: &'static str,
    pub(super) flows: u64,
    /// Ports, the most used first.
    pub(super) ports: Vec<&'a str>,
    pub(super) more_ports: usize,
    /// Its first group in the report.
    pub(super) group: usize,
}

impl<'a> Graph<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let mut nodes: Vec<Node<'a>> = Vec::new();
        let mut edges: Vec<Edge<'a>> = Vec::new();
        let (mut known, mut drawn) = (FxHashMap::default(), FxHashMap::default());
        for (index, group) in report.groups.iter().enumerate() {
            let flows = group.traffic.figures.flows;
            let mut end = |identity: &'a Identity| {
                let at = *known.entry(identity).or_insert_with(|| {
                    nodes.push(Node { identity, flows: 0 });
                    nodes.len() - 1
                });
                nodes[at].flows += flows;
                at
            };
            let (from, to) = (end(&group.source), end(&group.destination));
            let at = *drawn.entry((from, to, group.verdict)).or_insert_with(|| {
                let (verdict, ports) = (group.verdict, Vec::new());
                edges.push(Edge { from, to, verdict, flows: 0, ports, more_ports: 0, group: index });
                edges.len() - 1
            });
            let edge = &mut edges[at];
            edge.flows += flows;
            if edge.ports.contains(&group.traffic.port.as_str()) {
            } else if edge.ports.len() < PORTS {
                edge.ports.push(&group.traffic.port);
            } else {
                edge.more_ports += 1;
            }
        }
        Self { nodes, edges }
    }
}

//! Who speaks to whom as a table, where a map would be a tangle.

use super::graph::Graph;
use super::rows::{FLOWS, named};
use super::words::{mark, number};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;

/// Identities that get a row and a column: the busiest.
const SHOWN: usize = 60;

pub(super) struct Matrix {
    pub(super) ends: Vec<End>,
    /// A row for each end, a cell for each end.
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) left_out: usize,
}

pub(super) struct End {
    pub(super) number: usize,
    pub(super) name: String,
}

/// What goes from a row's identity to a column's; empty where nothing does.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) parts: Vec<Part>,
}

pub(super) struct Part {
    pub(super) verdict: &'static str,
    pub(super) mark: &'static str,
    pub(super) title: String,
    pub(super) target: String,
}

impl Matrix {
    /// `None` where nobody speaks.
    pub(super) fn of(graph: &Graph<'_>) -> Option<Self> {
        if graph.nodes.is_empty() {
            return None;
        }
        let mut shown: Vec<usize> = (0..graph.nodes.len()).collect();
        shown.sort_by_key(|node| (Reverse(graph.nodes[*node].flows), *node));
        shown.truncate(SHOWN);
        let place: FxHashMap<usize, usize> = shown.iter().enumerate().map(|(at, node)| (*node, at)).collect();
        let names: Vec<String> = shown.iter().map(|node| named(graph.nodes[*node].identity)).collect();
        let mut rows: Vec<Vec<Cell>> =
            shown.iter().map(|_| shown.iter().map(|_| Cell::default()).collect()).collect();
        for edge in &graph.edges {
            let (Some(&from), Some(&to)) = (place.get(&edge.from), place.get(&edge.to)) else { continue };
            rows[from][to].parts.push(Part {
                verdict: edge.verdict,
                mark: mark(edge.verdict),
                title: format!(
                    "{} to {}: {} flows {} on {}",
                    names[from],
                    names[to],
                    number(edge.flows),
                    edge.verdict,
                    edge.ports.join(", ")
                ),
                target: if edge.group < FLOWS {
                    format!("flow-{}", edge.group + 1)
                } else {
                    "flows".to_owned()
                },
            });
        }
        let left_out = graph.nodes.len() - shown.len();
        let ends = names.into_iter().zip(1..).map(|(name, number)| End { number, name }).collect();
        Some(Self { ends, rows, left_out })
    }
}

//! The service map: identities as boxes in ranks, flows as lines between them.

use super::graph::{Edge, Graph};
use super::lanes::Lanes;
use super::layers::layout;
use super::rows::{FLOWS, named};
use super::words::{mark, number};
use crate::render::text::labels;
use crate::report::Identity;
use enforcer_policy::diagnostic::{counted, shown, shown_within};
use std::fmt::Write;

/// Beyond these a map is a tangle, and the matrix takes its place.
const BOXES: usize = 40;
const LINES: usize = 120;
/// Lines that are written on; more of them would cover each other's words.
const LABELLED: usize = 40;

const WIDTH: f64 = 190.0;
const GAP: f64 = 150.0;
const EDGE: f64 = 24.0;
/// From a box to its frame: beside and below it, and above it, where the title is.
const FRAME: (f64, f64) = (16.0, 34.0);
const LOOP: f64 = 34.0;
/// What a label takes.
const LABEL: (f64, f64) = (76.0, 15.0);
/// Characters that fit into a box, after marks are spelled out.
const NAME: usize = 19;
const DETAIL: usize = 27;

/// An SVG's contents.
pub(super) struct Map {
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) frames: Vec<Frame>,
    pub(super) boxes: Vec<Box>,
    pub(super) lines: Vec<Line>,
}

/// Around boxes that share a label.
pub(super) struct Frame {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) title: String,
}

pub(super) struct Box {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) round: i64,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) detail: String,
    pub(super) title: String,
    /// More than one share the labels: a second box shows behind.
    pub(super) several: bool,
}

pub(super) struct Line {
    pub(super) path: String,
    pub(super) verdict: &'static str,
    pub(super) title: String,
    pub(super) label: Option<Label>,
    pub(super) target: String,
}

pub(super) struct Label {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) text: String,
}

impl Map {
    /// `None` where there is nothing to draw, or too much.
    pub(super) fn of(graph: &Graph<'_>) -> Option<Self> {
        let (nodes, edges) = (graph.nodes.len(), graph.edges.len());
        if nodes == 0 || nodes > BOXES || edges > LINES {
            return None;
        }
        let between: Vec<&Edge<'_>> = graph.edges.iter().filter(|edge| edge.from != edge.to).collect();
        let own: Vec<&Edge<'_>> = graph.edges.iter().filter(|edge| edge.from == edge.to).collect();
        let ends: Vec<(usize, usize)> = between.iter().map(|edge| (edge.from, edge.to)).collect();
        let heights: Vec<f64> = (0..nodes).map(|node| height(node, &ends)).collect();
        let loops = |node| own.iter().filter(|edge| edge.from == node).count() as f64 * LOOP;
        let room: Vec<f64> = (0..nodes).map(|node| heights[node] + loops(node)).collect();
        let lanes = Lanes::of(graph);
        let drawn = layout(&room, &ends, &lanes.of);
        let edge = if lanes.titles.len() > 1 { EDGE + FRAME.1 } else { EDGE };
        let left = |node: usize| EDGE + drawn.rank[node] as f64 * (WIDTH + GAP);
        let top = |node: usize| edge + drawn.middle[node] - room[node] / 2.0;
        let frames = lanes.titles.iter().enumerate().filter_map(|(lane, title)| {
            let of = || (0..nodes).filter(|node| lanes.of[*node] == lane);
            let x = of().map(left).fold(f64::INFINITY, f64::min) - FRAME.0;
            let y = of().map(top).fold(f64::INFINITY, f64::min) - FRAME.1;
            let end = of().map(left).fold(0.0, f64::max) + WIDTH + FRAME.0;
            let bottom = of().map(|node| top(node) + room[node]).fold(0.0, f64::max) + FRAME.0;
            let (width, height) = (round(end - x), round(bottom - y));
            title.clone().map(|title| Frame { x: round(x), y: round(y), width, height, title })
        });
        let boxes = graph.nodes.iter().enumerate().map(|(index, node)| {
            let kind = node.identity.kind;
            Box {
                x: round(left(index)),
                y: round(top(index)),
                width: round(WIDTH),
                height: round(heights[index]),
                round: if matches!(kind, "world" | "multicast") { round(heights[index] / 2.0) } else { 8 },
                kind,
                name: name(node.identity),
                detail: detail(node.identity),
                title: format!("{}, {} flows", named(node.identity), number(node.flows)),
                several: node.identity.members.len() > 1,
            }
        });
        let side = |node: usize, right: bool| left(node) + if right { WIDTH } else { 0.0 };
        let points: Vec<Vec<(f64, f64)>> = {
            let mut points = Vec::new();
            for (line, (bends, turned)) in between.iter().zip(&drawn.bends) {
                let mut way = vec![(side(line.from, !turned), 0.0)];
                for &(rank, at) in bends {
                    let column = EDGE + rank as f64 * (WIDTH + GAP);
                    let (near, far) = if *turned { (WIDTH, 0.0) } else { (0.0, WIDTH) };
                    way.push((column + near, edge + at));
                    way.push((column + far, edge + at));
                }
                way.push((side(line.to, *turned), 0.0));
                points.push(way);
            }
            dock(&mut points, &between, &drawn.bends, |node| top(node) + heights[node] / 2.0, &heights, edge);
            points
        };
        let labelled = edges <= LABELLED;
        let mut taken: Vec<(f64, f64)> = Vec::new();
        let mut lines: Vec<Line> = Vec::new();
        for (edge, way) in between.iter().zip(&points) {
            let at = labelled.then(|| free(way, &taken));
            taken.extend(at);
            lines.push(line(edge, graph, curve(way), at));
        }
        let mut below = vec![0.0; nodes];
        for edge in own {
            let node = edge.from;
            let (x, y) = (left(node) + WIDTH - 70.0, top(node) + heights[node]);
            below[node] += LOOP;
            let path =
                format!("M{} {}c0 {below},50 {below},50 0", round(x), round(y), below = round(below[node]));
            let at = (x - 50.0, y + below[node] * 0.7);
            lines.push(line(edge, graph, path, labelled.then_some(at)));
        }
        Some(Self {
            width: round(EDGE * 2.0 + drawn.ranks as f64 * (WIDTH + GAP) - GAP),
            height: round(edge * 2.0 + drawn.height),
            frames: frames.collect(),
            boxes: boxes.collect(),
            lines,
        })
    }
}

fn height(node: usize, ends: &[(usize, usize)]) -> f64 {
    let at = |of: fn(&(usize, usize)) -> usize| ends.iter().filter(|edge| of(edge) == node).count();
    let most = at(|edge| edge.0).max(at(|edge| edge.1));
    (16.0 * (most + 1) as f64).max(48.0)
}

/// Spreads where lines meet a box over its side, in the order of where they come from.
fn dock(
    points: &mut [Vec<(f64, f64)>],
    edges: &[&Edge<'_>],
    bends: &[(Vec<(usize, f64)>, bool)],
    middle: impl Fn(usize) -> f64,
    heights: &[f64],
    edge: f64,
) {
    // Node and whether its right side, then the height of the other point, the edge, and which end.
    let mut ends: Vec<(usize, bool, f64, usize, bool)> = Vec::new();
    for (index, (line, (between, turned))) in edges.iter().zip(bends).enumerate() {
        let bend = |at: Option<&(usize, f64)>, node| at.map_or_else(|| middle(node), |at| at.1 + edge);
        ends.push((line.from, !turned, bend(between.first(), line.to), index, true));
        ends.push((line.to, *turned, bend(between.last(), line.from), index, false));
    }
    ends.sort_by(|one, other| {
        (one.0, one.1).cmp(&(other.0, other.1)).then(one.2.total_cmp(&other.2)).then(one.3.cmp(&other.3))
    });
    for chunk in ends.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        for (place, &(node, _, _, index, first)) in chunk.iter().enumerate() {
            let share = (place + 1) as f64 / (chunk.len() + 1) as f64;
            let way = &mut points[index];
            let end = if first { 0 } else { way.len() - 1 };
            way[end].1 = middle(node) + (share - 0.5) * heights[node];
        }
    }
}

/// Curves between ranks, straight lines past them.
fn curve(way: &[(f64, f64)]) -> String {
    let mut path = format!("M{} {}", round(way[0].0), round(way[0].1));
    for (index, pair) in way.windows(2).enumerate() {
        let (x, y) = (round(pair[1].0), round(pair[1].1));
        let written = if index % 2 == 0 {
            let half = round((pair[0].0 + pair[1].0) / 2.0);
            write!(path, "C{half} {},{half} {y},{x} {y}", round(pair[0].1))
        } else {
            write!(path, "L{x} {y}")
        };
        written.expect("a String takes everything");
    }
    path
}

/// A place for words on the first curve, where none are yet.
fn free(way: &[(f64, f64)], taken: &[(f64, f64)]) -> (f64, f64) {
    const PLACES: [f64; 7] = [0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78];
    let covers = |one: (f64, f64), other: &(f64, f64)| {
        (one.0 - other.0).abs() < LABEL.0 && (one.1 - other.1).abs() < LABEL.1
    };
    let places = PLACES.map(|at| on_curve(way[0], way[1], at));
    let free = places.into_iter().find(|place| !taken.iter().any(|other| covers(*place, other)));
    free.unwrap_or(places[0])
}

/// A point of the first curve.
fn on_curve(from: (f64, f64), to: (f64, f64), at: f64) -> (f64, f64) {
    let rest = 1.0 - at;
    let half = (from.0 + to.0) / 2.0;
    let (begin, end) = (rest.powi(3), at.powi(3));
    let (early, late) = (3.0 * rest * rest * at, 3.0 * rest * at * at);
    (begin * from.0 + (early + late) * half + end * to.0, (begin + early) * from.1 + (late + end) * to.1)
}

fn line(edge: &Edge<'_>, graph: &Graph<'_>, path: String, label: Option<(f64, f64)>) -> Line {
    let (from, to) = (named(graph.nodes[edge.from].identity), named(graph.nodes[edge.to].identity));
    let more = if edge.more_ports > 0 { ", …" } else { "" };
    let ports = edge.ports.join(", ");
    let label = label.map(|(x, y)| {
        let others = edge.ports.len() - 1 + edge.more_ports;
        let others = if others > 0 { format!(" +{others}") } else { String::new() };
        let text = format!("{} {}{others}", mark(edge.verdict), edge.ports[0]);
        Label { x: round(x), y: round(y) - 3, text }
    });
    Line {
        path,
        verdict: edge.verdict,
        title: format!("{from} to {to}: {} flows {} on {ports}{more}", number(edge.flows), edge.verdict),
        label,
        target: if edge.group < FLOWS { format!("flow-{}", edge.group + 1) } else { "flows".to_owned() },
    }
}

fn name(identity: &Identity) -> String {
    let told = identity.selector.as_ref().and_then(|told| told.labels.values().next());
    let fit = |text: &str| shown_within(&shown_within(text, NAME + 1), NAME);
    match (identity.name(), told) {
        _ if identity.members.is_empty() => identity.kind.to_owned(),
        (Some(name), _) if shown(name).chars().count() <= NAME => shown(name),
        // What tells it from all others says more than the beginning of a long name.
        (_, Some(value)) if !value.is_empty() => fit(value),
        (Some(name), _) => fit(name),
        (None, _) => format!("{} {}s", identity.members.len() as u64 + identity.more, identity.kind),
    }
}

fn detail(identity: &Identity) -> String {
    let count = identity.members.len() as u64 + identity.more;
    let labels = labels(identity).unwrap_or_default();
    match identity.kind {
        "world" => "addresses outside".to_owned(),
        "host" => "the machines themselves".to_owned(),
        "multicast" => "groups and broadcast".to_owned(),
        _ if count > 1 => counted(count, identity.kind),
        _ => shown_within(&shown_within(&labels, DETAIL + 1), DETAIL),
    }
}

fn round(at: f64) -> i64 {
    at.round() as i64
}

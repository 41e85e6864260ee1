//! A layered drawing: who opens flows stands before whom they go to.
//!
//! The usual four steps: turn round what closes a cycle, rank by the longest path, order each rank by where its neighbours stand, then move
//! everything towards its neighbours. Each is a function of the order in which nodes and edges come, so the same report gives the same map.

/// Sweeps over the ranks.
const SWEEPS: usize = 8;
/// Free space between two boxes of a rank, and between a box and a line.
const SPACE: f64 = 26.0;
/// Between two lines that pass boxes.
const LINES: f64 = 9.0;
/// Between two bands: room for their frames and a title.
pub(super) const BETWEEN: f64 = 62.0;
/// What a bend takes.
const BEND: f64 = 4.0;

/// Where things stand.
pub(super) struct Layout {
    /// Rank of each node.
    pub(super) rank: Vec<usize>,
    /// Middle of each node.
    pub(super) middle: Vec<f64>,
    /// For each edge the points between its ends, as rank and height, from its beginning; and whether it runs against the ranks.
    pub(super) bends: Vec<(Vec<(usize, f64)>, bool)>,
    /// How many ranks there are.
    pub(super) ranks: usize,
    /// From the first box's upper side to the last one's lower.
    pub(super) height: f64,
}

/// Places nodes of these heights. No edge may lead from a node to itself. Nodes of one band stand apart from those of the bands above and below.
pub(super) fn layout(heights: &[f64], edges: &[(usize, usize)], bands: &[usize]) -> Layout {
    let nodes = heights.len();
    let turned = turned(nodes, edges);
    let forward: Vec<(usize, usize)> = edges
        .iter()
        .zip(&turned)
        .map(|(&(from, to), &turn)| if turn { (to, from) } else { (from, to) })
        .collect();
    let mut rank = ranks(nodes, &forward);
    let mut heights = heights.to_vec();
    let mut bands = bands.to_vec();
    let mut links: Vec<(usize, usize)> = Vec::new();
    let mut chains: Vec<Vec<usize>> = Vec::new();
    for &(from, to) in &forward {
        let mut chain = Vec::new();
        let mut last = from;
        for between in rank[from] + 1..rank[to] {
            rank.push(between);
            heights.push(BEND);
            // A line keeps to where it comes from.
            bands.push(bands[from]);
            let bend = rank.len() - 1;
            links.push((last, bend));
            chain.push(bend);
            last = bend;
        }
        links.push((last, to));
        chains.push(chain);
    }
    let count = rank.iter().max().map_or(0, |last| last + 1);
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (node, at) in rank.iter().enumerate() {
        columns[*at].push(node);
    }
    columns.iter_mut().for_each(|column| column.sort_by_key(|node| bands[*node]));
    let mut neighbours = vec![(Vec::new(), Vec::new()); rank.len()];
    for &(from, to) in &links {
        neighbours[to].0.push(from);
        neighbours[from].1.push(to);
    }
    order(&mut columns, &neighbours, &links, &bands);
    let mut middle = vec![0.0; rank.len()];
    let mut height = 0.0;
    for band in 0..=bands.iter().max().copied().unwrap_or_default() {
        let own = |nodes: &Vec<usize>| nodes.iter().copied().filter(|node| bands[*node] == band).collect();
        let columns: Vec<Vec<usize>> = columns.iter().map(own).collect();
        let beside: Vec<_> = neighbours.iter().map(|(one, other)| (own(one), own(other))).collect();
        let at = place(&columns, &beside, &heights);
        let members = || columns.iter().flatten().copied();
        let top = members().map(|node| at[node] - heights[node] / 2.0).fold(f64::INFINITY, f64::min);
        if members().next().is_none() {
            continue;
        }
        let begin = if height > 0.0 { height + BETWEEN } else { 0.0 };
        for node in members() {
            middle[node] = at[node] - top + begin;
            height = f64::max(height, middle[node] + heights[node] / 2.0);
        }
    }
    let bends = chains.into_iter().zip(&turned).map(|(chain, &turn)| {
        let mut points: Vec<(usize, f64)> =
            chain.into_iter().map(|bend| (rank[bend], middle[bend])).collect();
        if turn {
            points.reverse();
        }
        (points, turn)
    });
    let bends = bends.collect();
    rank.truncate(nodes);
    middle.truncate(nodes);
    Layout { rank, middle, bends, ranks: count, height }
}

/// Which edges to turn round so that no cycle is left: those that lead back to where the search came from.
fn turned(nodes: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut out = vec![Vec::new(); nodes];
    let mut reached = vec![false; nodes];
    for (index, &(from, to)) in edges.iter().enumerate() {
        out[from].push((index, to));
        reached[to] = true;
    }
    let mut turned = vec![false; edges.len()];
    // 0 not seen, 1 on the way, 2 done.
    let mut state = vec![0_u8; nodes];
    // Those to whom nothing leads first: their edges are never the ones to turn.
    let begin = (0..nodes).filter(|node| !reached[*node]).chain((0..nodes).filter(|node| reached[*node]));
    for root in begin {
        if state[root] != 0 {
            continue;
        }
        state[root] = 1;
        let mut way = vec![(root, 0)];
        while let Some((node, next)) = way.last_mut() {
            let Some(&(edge, to)) = out[*node].get(*next) else {
                state[*node] = 2;
                way.pop();
                continue;
            };
            *next += 1;
            match state[to] {
                0 => {
                    state[to] = 1;
                    way.push((to, 0));
                }
                1 => turned[edge] = true,
                _ => {}
            }
        }
    }
    turned
}

/// Each node one rank behind the last of those that lead to it.
fn ranks(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut waiting = vec![0; nodes];
    for &(_, to) in edges {
        waiting[to] += 1;
    }
    let mut ready: Vec<usize> = (0..nodes).filter(|node| waiting[*node] == 0).collect();
    let mut rank = vec![0; nodes];
    let mut next = 0;
    while let Some(&node) = ready.get(next) {
        next += 1;
        for &(_, to) in edges.iter().filter(|(from, _)| *from == node) {
            rank[to] = rank[to].max(rank[node] + 1);
            waiting[to] -= 1;
            if waiting[to] == 0 {
                ready.push(to);
            }
        }
    }
    rank
}

type Neighbours = [(Vec<usize>, Vec<usize>)];

/// Orders each column, within its bands, by the mean place of its neighbours, up and down in turn, and keeps what crosses least.
fn order(columns: &mut Vec<Vec<usize>>, neighbours: &Neighbours, links: &[(usize, usize)], bands: &[usize]) {
    let mut place = vec![0_usize; neighbours.len()];
    let number = |columns: &[Vec<usize>], place: &mut [usize]| {
        for column in columns {
            for (at, node) in column.iter().enumerate() {
                place[*node] = at;
            }
        }
    };
    number(columns, &mut place);
    let rank: Vec<usize> = {
        let mut rank = vec![0; neighbours.len()];
        for (at, column) in columns.iter().enumerate() {
            column.iter().for_each(|node| rank[*node] = at);
        }
        rank
    };
    let mut best = (crossings(links, &rank, &place), columns.clone());
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let indices: Vec<usize> =
            if down { (0..columns.len()).collect() } else { (0..columns.len()).rev().collect() };
        for at in indices {
            let mean = |node: &usize| {
                let beside = if down { &neighbours[*node].0 } else { &neighbours[*node].1 };
                let sum: usize = beside.iter().map(|other| place[*other]).sum();
                if beside.is_empty() { place[*node] as f64 } else { sum as f64 / beside.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = columns[at].iter().map(|node| (mean(node), *node)).collect();
            keyed.sort_by(|one, other| bands[one.1].cmp(&bands[other.1]).then(one.0.total_cmp(&other.0)));
            columns[at] = keyed.into_iter().map(|(_, node)| node).collect();
            number(&columns[at..=at], &mut place);
        }
        let crossed = crossings(links, &rank, &place);
        if crossed < best.0 {
            best = (crossed, columns.clone());
        }
    }
    *columns = best.1;
}

fn crossings(links: &[(usize, usize)], rank: &[usize], place: &[usize]) -> usize {
    let crosses = |one: &(usize, usize), other: &(usize, usize)| {
        rank[one.0] == rank[other.0]
            && (place[one.0] < place[other.0]) != (place[one.1] < place[other.1])
            && place[one.0] != place[other.0]
            && place[one.1] != place[other.1]
    };
    let pairs = links.iter().enumerate();
    pairs.map(|(index, one)| links[..index].iter().filter(|other| crosses(one, other)).count()).sum()
}

/// Middles: towards the neighbours' mean, as near as the order and the boxes' heights let it.
fn place(columns: &[Vec<usize>], neighbours: &Neighbours, heights: &[f64]) -> Vec<f64> {
    let space = |one: usize, other: usize| {
        if heights[one] <= BEND && heights[other] <= BEND { LINES } else { SPACE }
    };
    let apart = |one: usize, other: usize| (heights[one] + heights[other]) / 2.0 + space(one, other);
    let mut middle = vec![0.0; heights.len()];
    for column in columns {
        for pair in column.windows(2) {
            middle[pair[1]] = middle[pair[0]] + apart(pair[0], pair[1]);
        }
    }
    for sweep in 0..SWEEPS {
        let indices: Vec<usize> =
            if sweep % 2 == 0 { (0..columns.len()).collect() } else { (0..columns.len()).rev().collect() };
        for column in indices.into_iter().map(|at| &columns[at]) {
            let wish = |node: usize| {
                let beside = || neighbours[node].0.iter().chain(&neighbours[node].1);
                let sum: f64 = beside().map(|other| middle[*other]).sum();
                if beside().next().is_none() { middle[node] } else { sum / beside().count() as f64 }
            };
            let wishes: Vec<f64> = column.iter().map(|node| wish(*node)).collect();
            let mut low = wishes.clone();
            for at in 1..column.len() {
                low[at] = low[at].max(low[at - 1] + apart(column[at - 1], column[at]));
            }
            let mut high = wishes;
            for at in (1..column.len()).rev() {
                high[at - 1] = high[at - 1].min(high[at] - apart(column[at - 1], column[at]));
            }
            // Both keep the distances, so their mean does.
            for (at, node) in column.iter().enumerate() {
                middle[*node] = (low[at] + high[at]) / 2.0;
            }
        }
    }
    middle
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chain_is_ranked_in_order_and_a_cycle_is_opened_once() {
        let drawn = layout(&[40.0; 3], &[(0, 1), (1, 2), (2, 0)], &[0; 3]);
        assert_eq!(drawn.rank, [0, 1, 2]);
        assert_eq!(drawn.bends.iter().map(|(_, turned)| *turned).collect::<Vec<_>>(), [false, false, true]);
        // The way back passes the middle rank beside the node there.
        assert_eq!(drawn.bends[2].0.len(), 1);
        assert!((drawn.bends[2].0[0].1 - drawn.middle[1]).abs() >= 20.0);
    }

    proptest! {
        #[test]
        fn boxes_keep_apart_and_edges_run_forward(
            heights in prop::collection::vec(20.0_f64..120.0, 1..24),
            pairs in prop::collection::vec((0_usize..24, 0_usize..24), 0..60),
            bands in prop::collection::vec(0_usize..4, 24),
        ) {
            let nodes = heights.len();
            let edges: Vec<(usize, usize)> = pairs.into_iter().map(|(from, to)| (from % nodes, to % nodes)).filter(|(from, to)| from != to).collect();
            let bands: Vec<usize> = bands.into_iter().take(nodes).collect();
            let drawn = layout(&heights, &edges, &bands);
            for (&(from, to), (bends, turned)) in edges.iter().zip(&drawn.bends) {
                let (low, high) = if *turned { (drawn.rank[to], drawn.rank[from]) } else { (drawn.rank[from], drawn.rank[to]) };
                prop_assert!(low < high);
                prop_assert_eq!(bends.len(), high - low - 1);
            }
            for one in 0..nodes {
                prop_assert!(drawn.middle[one] - heights[one] / 2.0 >= -1e-6);
                prop_assert!(drawn.middle[one] + heights[one] / 2.0 <= drawn.height + 1e-6);
                for other in 0..one {
                    if bands[one] != bands[other] {
                        let (upper, lower) = if bands[one] < bands[other] { (one, other) } else { (other, one) };
                        let between = drawn.middle[lower] - heights[lower] / 2.0 - drawn.middle[upper] - heights[upper] / 2.0;
                        prop_assert!(between + 1e-6 >= BETWEEN);
                    }
                    let apart = (drawn.middle[one] - drawn.middle[other]).abs();
                    prop_assert!(drawn.rank[one] != drawn.rank[other] || apart + 1e-6 >= (heights[one] + heights[other]) / 2.0 + SPACE);
                }
            }
        }
    }
}

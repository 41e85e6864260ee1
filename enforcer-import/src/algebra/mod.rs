//! Sets of flows that can be intersected and subtracted, and still be written as rules afterwards.
//!
//! Other systems' rules speak for one end of a flow, ours for both. A flow passes there if the rules at its source *and* the
//! rules at its destination let it, so what passes is the set of all intersections of a source's rule with a destination's.
//! Everything here is symbolic: an intersection of selectors is a selector that goes on fitting as workloads come and go.

mod blocks;
mod condition;
mod conjunction;
mod ports;
mod rect;
mod unite;

pub(crate) use blocks::Block;
pub(crate) use condition::Condition;
pub(crate) use conjunction::Conjunction;
pub(crate) use ports::PortSet;
pub(crate) use rect::{Rect, TooIntricate, Who, subtract_all, without_whole_families};
pub(crate) use unite::united;

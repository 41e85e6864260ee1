//! One record for each flow that is cut. Packets of one flow that are judged on two CPUs at the same moment may each be told to have cut it;
//! the kernel programs don't lock for that. The second is a packet that was denied like those after it.

use enforcer_common::event::FlowEvent;
use enforcer_common::maps::Direction;
use std::collections::HashMap;

/// Two records of one flow's end are that close together; 1 s is beyond any doubt.
const TOGETHER: u64 = 1_000_000_000;
/// Flows that are remembered for that long.
const REMEMBERED: usize = 1 << 16;

/// A flow at one hook, whichever way its packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Flow {
    subject: u32,
    local: ([u32; 4], u16),
    remote: ([u32; 4], u16),
    protocol: u8,
    family: u8,
}

impl Flow {
    fn of(event: &FlowEvent) -> Self {
        let source = (event.source, event.source_port);
        let destination = (event.destination, event.destination_port);
        let egress = event.direction == Direction::Egress as u8;
        let (local, remote) = if egress { (source, destination) } else { (destination, source) };
        let FlowEvent { subject, protocol, family, .. } = *event;
        Self { subject, local, remote, protocol, family }
    }
}

/// Flows that were cut a moment ago, and when.
#[derive(Debug, Default)]
pub(super) struct Cuts(HashMap<Flow, u64>);

impl Cuts {
    /// The event, without the end of a flow that has ended already.
    pub(super) fn once(&mut self, mut event: FlowEvent) -> FlowEvent {
        let of_a_flow = event.flags & (FlowEvent::NEW | FlowEvent::CHANGED) != 0;
        if event.flags & FlowEvent::CUT == 0 {
            if of_a_flow && !self.0.is_empty() {
                self.0.remove(&Flow::of(&event));
            }
            return event;
        }
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, at| at.abs_diff(event.time) < TOGETHER);
        }
        let flow = Flow::of(&event);
        if self.0.get(&flow).is_some_and(|at| at.abs_diff(event.time) < TOGETHER) {
            event.flags &= !(FlowEvent::CUT | FlowEvent::CHANGED);
        } else if self.0.len() < REMEMBERED {
            self.0.insert(flow, event.time);
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: u8 = FlowEvent::CUT | FlowEvent::CHANGED;

    fn event(direction: Direction, flags: u8, time: u64) -> FlowEvent {
        let (a, b) = (([1, 0, 0, 0], 40_000), ([2, 0, 0, 0], 443));
        let (source, destination) = if direction == Direction::Egress { (a, b) } else { (b, a) };
        FlowEvent {
            time,
            subject: 3,
            source: source.0,
            source_port: source.1,
            destination: destination.0,
            destination_port: destination.1,
            direction: direction as u8,
            flags,
            ..FlowEvent::default()
        }
    }

    #[test]
    fn a_flow_is_cut_once_until_it_is_open_again() {
        let mut cuts = Cuts::default();
        let mut flags = |direction, flags, time| cuts.once(event(direction, flags, time)).flags;
        assert_eq!(flags(Direction::Egress, CUT, 10), CUT);
        assert_eq!(flags(Direction::Ingress, CUT, 9), 0, "the other way, at the same moment");
        assert_eq!(flags(Direction::Egress, FlowEvent::CHANGED, 20), FlowEvent::CHANGED, "open again");
        assert_eq!(flags(Direction::Ingress, CUT, 30), CUT);
        assert_eq!(flags(Direction::Egress, FlowEvent::NEW, 40), FlowEvent::NEW, "opened anew");
        assert_eq!(flags(Direction::Ingress, CUT, 50), CUT);
        assert_eq!(flags(Direction::Egress, CUT, 50 + TOGETHER), CUT, "too late for the same moment");
    }

    #[test]
    fn other_flows_and_other_hooks_are_cut_by_themselves() {
        let mut cuts = Cuts::default();
        let first = event(Direction::Egress, CUT, 10);
        for other in [
            first,
            FlowEvent { subject: 4, ..first },
            FlowEvent { source_port: 1, ..first },
            FlowEvent { protocol: 17, ..first },
        ] {
            assert_eq!(cuts.once(other).flags, CUT);
            assert_eq!(cuts.once(other).flags, 0);
        }
    }
}

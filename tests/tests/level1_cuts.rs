//! What the packet path tells of flows that are cut: that they were open, and under which epoch.

use enforcer_common::event::FlowEvent;
use enforcer_common::maps::Direction;
use enforcer_common::packet::Frame;
use enforcer_common::{Hook, judge};
use enforcer_policy::memory::MemoryTables;
use enforcer_tests::forge::{error, udp};
use enforcer_tests::images::{allowing, subject_of};

const WEB: &str = "10.0.0.1";
const PEER: &str = "10.0.0.2";
const RULE: u32 = 7;
const START: u64 = 1_000_000_000_000;
const CUT: u8 = FlowEvent::CHANGED | FlowEvent::CUT;

/// The subject may send to its peer until `deadline`, and a flow is open.
fn open(deadline: u64) -> MemoryTables {
    let mut image = allowing([10, 0, 0, 2], RULE);
    image.decisions.last_mut().unwrap().deadline = deadline;
    let mut tables = MemoryTables::new(&image);
    tables.bind(3, subject_of([10, 0, 0, 1], RULE));
    tables.set_clock(START, START);
    assert_eq!(told(&mut tables, Direction::Egress, &there()).unwrap().flags, FlowEvent::NEW);
    assert_eq!(told(&mut tables, Direction::Ingress, &back()), None);
    tables
}

/// Takes what was allowed away, or gives it back.
fn switch(tables: &mut MemoryTables, allowed: bool) {
    let peer = if allowed { [10, 0, 0, 2] } else { [10, 0, 0, 9] };
    tables.switch(&allowing(peer, RULE), &[(3, subject_of([10, 0, 0, 1], RULE))]);
}

fn there() -> Vec<u8> {
    udp(WEB, PEER, (40_000, 53), b"?")
}

fn back() -> Vec<u8> {
    udp(PEER, WEB, (53, 40_000), b"!")
}

/// The record of a packet, if it has one.
fn told(tables: &mut MemoryTables, direction: Direction, frame: &[u8]) -> Option<FlowEvent> {
    let _counted = judge(&Frame::new(frame), Hook { subject: 3, direction }, tables);
    tables.take_events().pop()
}

#[test]
fn the_first_packet_that_is_denied_cuts_the_flow_whichever_way_it_goes() {
    for (direction, first, then) in
        [(Direction::Egress, there(), back()), (Direction::Ingress, back(), there())]
    {
        let mut tables = open(u64::MAX);
        switch(&mut tables, true);
        switch(&mut tables, false);
        let cut = told(&mut tables, direction, &first).unwrap();
        assert_eq!((cut.flags, cut.passes, cut.epoch - cut.before), (CUT, 0, 2));
        let other = if direction == Direction::Egress { Direction::Ingress } else { Direction::Egress };
        assert_eq!(told(&mut tables, other, &then).unwrap().flags, 0, "once");
        switch(&mut tables, false);
        assert_eq!(told(&mut tables, other, &then).unwrap().flags, 0, "it is cut already");
        switch(&mut tables, true);
        assert_eq!(told(&mut tables, other, &then).unwrap().flags, FlowEvent::CHANGED, "open again");
        switch(&mut tables, false);
        assert_eq!(told(&mut tables, other, &then).unwrap().flags, CUT, "and cut again");
    }
}

#[test]
fn a_deadline_cuts_within_an_epoch() {
    let mut tables = open(START + 1_000);
    tables.advance(1_000);
    let cut = told(&mut tables, Direction::Egress, &there()).unwrap();
    assert_eq!((cut.flags, cut.time, cut.epoch - cut.before), (CUT, START + 1_000, 0));
}

#[test]
fn what_is_only_about_a_flow_leaves_its_end_to_the_flow() {
    let mut tables = open(u64::MAX);
    switch(&mut tables, false);
    let unreachable = error(PEER, WEB, (3, 3), &there());
    assert_eq!(told(&mut tables, Direction::Ingress, &unreachable).unwrap().flags, 0);
    let cut = told(&mut tables, Direction::Egress, &there()).unwrap();
    assert_eq!((cut.flags, cut.protocol), (CUT, 17));
}

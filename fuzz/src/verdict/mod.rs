//! The packet parser and the verdict function, on sequences of packets with changes in between.
//!
//! An input is a list of steps. The first byte of each says which hook (bits 1 to 3, see [`ground::HOOKS`]), which direction (bit 0), whether
//! the device took a VLAN tag off (bit 6; the tag follows, 2 bytes) and, with bits 4 and 5 both set, that it isn't a packet but a change:
//! of clock, epoch or policy set, with a number of 2 bytes. Otherwise the frame's length follows (2 bytes) and the frame.

mod ground;
mod promises;

use crate::input::Input;
use enforcer_common::Hook;
use enforcer_common::judge::{Scratch, judge, judge_in};
use enforcer_common::maps::Direction;
use enforcer_common::packet::{Frame, Tag};
use enforcer_policy::memory::MemoryTables;
use ground::{GROUND, HOOKS, Set};
use promises::Seen;

/// More steps than this reach nothing new.
const STEPS: usize = 48;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut world = World { tables: GROUND.tables.clone(), set: &GROUND.sets[0], scratch: Scratch::EMPTY };
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.u8();
        if step & 0x30 == 0x30 {
            world.change(step & 0xf, input.u16());
            continue;
        }
        let direction = if step & 1 == 0 { Direction::Egress } else { Direction::Ingress };
        let hook = usize::from(step >> 1 & 7) % HOOKS.len();
        let ethertype = if step & 0x80 == 0 { 0x8100 } else { 0x88a8 };
        let vlan = (step & 0x40 != 0).then(|| Tag { ethertype, control: input.u16() });
        let len = input.u16();
        let frame = Frame { bytes: input.take(len.into()), vlan };
        world.judge(&frame, Hook { subject: hook as u32, direction });
    }
}

struct World {
    tables: MemoryTables,
    set: &'static Set,
    /// What an earlier packet left here means nothing to a later one.
    scratch: Scratch,
}

impl World {
    fn change(&mut self, what: u8, number: u16) {
        match what {
            0..=3 => self.tables.advance(u64::from(number) << 20),
            4..=7 => self.tables.advance(u64::from(number) << 32),
            8..=11 => self.tables.next_epoch(),
            _ => {
                self.set = &GROUND.sets[usize::from(number & 1)];
                self.set.put(&mut self.tables);
            }
        }
    }

    fn judge(&mut self, frame: &Frame<'_>, hook: Hook) {
        let mut twin = self.tables.clone();
        let before = promises::counted(&self.tables);
        let outcome = judge_in(frame, hook, &mut self.scratch, &mut self.tables);
        let events = self.tables.take_events();
        let seen = Seen { set: self.set, frame, hook, outcome, events: &events };
        seen.counted_once(&before, &promises::counted(&self.tables));
        seen.word_and_cause_agree();
        seen.mode_holds();
        seen.passes_only_what_is_understood();
        seen.told_where_asked(&self.scratch.rejection);

        assert_eq!(judge(frame, hook, &mut twin), outcome, "the same packet from the same state");
        assert_eq!(twin.take_events(), events, "the same packet from the same state");
        // A part of a datagram that comes twice overlaps itself.
        if !seen.is_part() {
            let again = judge(frame, hook, &mut twin);
            assert_eq!(again.passes, outcome.passes, "a repeated packet: {outcome:?}, then {again:?}");
        }
    }
}

//! Whether a program can end the chain it runs in: read from its instructions, for nothing else tells, and running
//! another's program to find out would change what it keeps.
//!
//! In a tcx chain, and among the filters of clsact, only the return value -1 hands the packet on; from XDP, 2 does. A program of which
//! each way to an exit was seen to set that is harmless; of any other it is assumed that it can end the chain.

/// Return value that hands the packet on to the next of a tcx chain, or to the next filter.
pub(in super::super) const NEXT: i32 = -1;
/// Return value that hands the frame on from XDP.
pub(in super::super) const XDP_PASS: i32 = 2;
/// Helper that goes over into another program.
const TAIL_CALL: i32 = 12;

/// What is known of the register with the return value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Return {
    Next,
    Other,
}

/// An instruction, taken apart.
struct Instruction {
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    value: i32,
}

impl Instruction {
    fn of(bytes: [u8; 8]) -> Self {
        let [code, registers, offset @ .., _, _, _, _] = bytes;
        let (low, high) = (registers & 15, registers >> 4);
        let (destination, source) = if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
        let value = i32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        Self { code, destination, source, offset: i16::from_ne_bytes(offset), value }
    }
}

/// Where an instruction leads, and what it does to the return value.
enum Step {
    Exit,
    /// May go over into another program.
    Leave,
    Go {
        to: [Option<i64>; 2],
        with: Return,
    },
}

/// One step. `at` is the instruction's place.
fn step(instruction: &Instruction, at: i64, now: Return, next: i32) -> Step {
    const LD: u8 = 0;
    const LDX: u8 = 1;
    const STX: u8 = 3;
    const ALU: u8 = 4;
    const JMP: u8 = 5;
    const JMP32: u8 = 6;
    const ALU64: u8 = 7;
    let Instruction { code, destination, source, offset, value } = *instruction;
    let written = |with: Return| if destination == 0 { with } else { now };
    let jump = at + 1 + i64::from(offset);
    let on = |with| Step::Go { to: [Some(at + 1), None], with };
    match (code & 7, code & 0xf0) {
        (JMP, 0x90) => Step::Exit,
        (JMP, 0x80) if source == 0 && value == TAIL_CALL => Step::Leave,
        (JMP, 0x80) => on(Return::Other),
        (JMP, 0) => Step::Go { to: [Some(jump), None], with: now },
        (JMP32, 0) => Step::Go { to: [Some(at + 1 + i64::from(value)), None], with: now },
        (JMP | JMP32, _) => Step::Go { to: [Some(at + 1), Some(jump)], with: now },
        // A plain number.
        (ALU | ALU64, 0xb0) if code & 8 == 0 && value == next => on(written(Return::Next)),
        (ALU | ALU64 | LDX, _) => on(written(Return::Other)),
        // A wide number takes two places.
        (LD, _) if code == 0x18 => Step::Go { to: [Some(at + 2), None], with: written(Return::Other) },
        // Old packet loads and atomic operations may write the return value without naming it.
        (LD | STX, _) if code & 7 == LD || code & 0xe0 == 0xc0 => on(Return::Other),
        _ => on(now),
    }
}

/// Whether the program hands every packet on, which the return value `next` does. `false` where that can't be seen.
pub(in super::super) fn always_continues(instructions: &[[u8; 8]], next: i32) -> bool {
    let mut seen: Vec<Option<Return>> = vec![None; instructions.len()];
    let mut open = vec![(0_i64, Return::Other)];
    while let Some((at, now)) = open.pop() {
        let Some(slot) = usize::try_from(at).ok().and_then(|at| seen.get_mut(at)) else { return false };
        let now = match *slot {
            None => now,
            Some(before) if before == now || before == Return::Other => continue,
            Some(_) => Return::Other,
        };
        *slot = Some(now);
        match step(&Instruction::of(instructions[at as usize]), at, now, next) {
            Step::Exit if now == Return::Next => {}
            Step::Exit | Step::Leave => return false,
            Step::Go { to, with } => open.extend(to.into_iter().flatten().map(|to| (to, with))),
        }
    }
    !instructions.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u8, destination: u8, source: u8, offset: i16, value: i32) -> [u8; 8] {
        let registers = if cfg!(target_endian = "little") {
            destination | source << 4
        } else {
            destination << 4 | source
        };
        let [o1, o2] = offset.to_ne_bytes();
        let [v1, v2, v3, v4] = value.to_ne_bytes();
        [code, registers, o1, o2, v1, v2, v3, v4]
    }

    fn set(register: u8, value: i32) -> [u8; 8] {
        instruction(0xb7, register, 0, 0, value)
    }

    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn only_programs_whose_every_way_out_hands_on_continue() {
        // if r1 == 0 goto +n
        let unless = |n| instruction(0x15, 1, 0, n, 0);
        let goto = |n| instruction(0x05, 0, 0, n, 0);
        let call = |helper| instruction(0x85, 0, 0, 0, helper);
        let cases: &[(&str, &[[u8; 8]], bool)] = &[
            ("nothing is known", &[], false),
            ("hands on", &[set(0, -1), EXIT], true),
            ("hands on, with half a register", &[instruction(0xb4, 0, 0, 0, -1), EXIT], true),
            ("passes", &[set(0, 0), EXIT], false),
            ("drops", &[set(0, 2), EXIT], false),
            ("a call is forgotten", &[call(5), set(0, -1), EXIT], true),
            ("what a call returns", &[set(0, -1), call(5), EXIT], false),
            ("one way of two", &[unless(2), set(0, -1), EXIT, set(0, 0), EXIT], false),
            ("both ways", &[unless(2), set(0, -1), EXIT, set(0, -1), EXIT], true),
            ("ways that meet", &[unless(2), set(0, -1), goto(1), set(0, 0), EXIT], false),
            ("ways that meet in the same", &[set(0, -1), unless(1), set(3, 7), EXIT], true),
            ("a loop", &[set(0, -1), unless(-1), EXIT], true),
            ("a loop that changes it", &[set(0, -1), unless(2), set(0, 0), goto(-4), EXIT], true),
            ("a loop that leaves with it", &[set(0, -1), unless(2), set(0, 0), goto(-3), EXIT], false),
            ("goes over into another", &[call(TAIL_CALL), set(0, -1), EXIT], false),
            ("a copy", &[set(6, -1), instruction(0xbf, 0, 6, 0, 0), EXIT], false),
            ("a load", &[set(0, -1), instruction(0x61, 0, 1, 0, 0), EXIT], false),
            ("a wide number", &[instruction(0x18, 2, 0, 0, 1), [0; 8], set(0, -1), EXIT], true),
            ("out of its end", &[set(0, -1)], false),
        ];
        for (what, instructions, continues) in cases {
            assert_eq!(always_continues(instructions, NEXT), *continues, "{what}");
        }
    }
    #[test]
    fn what_hands_on_is_another_value_for_xdp() {
        let [passes, drops] = [2, 1].map(|value| always_continues(&[set(0, value), EXIT], XDP_PASS));
        assert!(passes && !drops && !always_continues(&[set(0, -1), EXIT], XDP_PASS));
    }
}

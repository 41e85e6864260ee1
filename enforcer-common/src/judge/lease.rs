//! Labels with a time to live: past it, an end of a flow has the classes, and the subject the mode, that it has without them.
//!
//! Every entry that is made of such labels says until when it holds and what holds from then on, so no write is needed when the time is over:
//! it doesn't matter whether the daemon lives. What was decided until then is judged anew, for its deadline is no later.

use super::{Context, Hook, Sight};
use crate::maps::{Endpoint, Lease, Subject};
use crate::tables::{Clock, Tables};

/// The mode in which the subject is held now, and its flags. Its classes are seen to by [`settle_classes`].
#[inline(always)]
pub(super) fn now<T: Tables>(bank: u32, hook: Hook, subject: &Subject, tables: &T) -> (u8, u8) {
    let until_then = (subject.mode, subject.flags);
    if subject.until == 0 {
        return until_then;
    }
    match held_after(bank, hook.subject, tables) {
        HELD => until_then,
        after => (after as u8, until_then.1 & !Subject::ANSWERS_DENIED | (after >> 8) as u8),
    }
}

/// No mode, and no flag: the time isn't over.
const HELD: u32 = u32::MAX;

/// The mode and, above it, the flag that a subject has if the time of its labels is over. A function of its own, for few packets need it.
#[inline(never)]
fn held_after<T: Tables>(bank: u32, number: u32, tables: &T) -> u32 {
    match tables.subject_entry(bank, number) {
        Some(subject) if over(subject.until, tables) => {
            subject.mode_after as u32 | (subject.flags_after as u32) << 8
        }
        _ => HELD,
    }
}

/// Gives both ends of a flow the classes that they have now, and [`Sight::decided`] the deadline until which they, and the subject's mode, do.
/// A function of its own: it needs no room on its caller's stack.
#[inline(never)]
pub(super) fn settle_classes<const N: usize, T: Tables>(context: &Context, sight: &mut Sight<N>, tables: &T) {
    // Its mode has a deadline also where its own end is a group that it has joined, or nobody's.
    let mut deadline = match tables.subject_entry(context.control.bank(), context.hook.subject) {
        // That the time is over may be new since the mode was asked for.
        Some(one) if one.until != 0 && !(over(one.until, tables) && context.mode == one.mode_after) => {
            one.until
        }
        _ => u64::MAX,
    };
    if !sight.refused {
        deadline = earlier(deadline, settle_one(&mut sight.own, tables));
        deadline = earlier(deadline, settle_one(&mut sight.peer, tables));
    }
    sight.decided.deadline = deadline;
}

/// Gives one end its classes, and tells until when it has them.
#[inline(always)]
fn settle_one<T: Tables>(end: &mut Endpoint, tables: &T) -> u64 {
    let Lease { until, class, coarse } = end.lease;
    if until == 0 {
        u64::MAX
    } else if over(until, tables) {
        (end.class, end.coarse) = (class, coarse);
        u64::MAX
    } else {
        until
    }
}

#[inline(always)]
fn over<T: Tables>(until: u64, tables: &T) -> bool {
    until != 0 && tables.clock().boot() >= until
}

#[inline(always)]
pub(super) const fn earlier(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

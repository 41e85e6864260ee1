//! Single instructions that no other program on this CPU can come between. The BPF target has no atomics of `core`.

use core::arch::asm;

/// Adds to a counter.
#[inline(always)]
pub(crate) fn add(counter: &mut u64, more: u64) {
    let at: *mut u64 = counter;
    // SAFETY: writes to what the reference is to, and nowhere else.
    unsafe { asm!("lock *(u64 *)({at} + 0) += {more}", at = in(reg) at, more = in(reg) more) }
}

/// Puts a value in another's place, and says what stood there. Linux 5.12 and later.
#[inline(always)]
pub(crate) fn swap(place: &mut u64, value: u64) -> u64 {
    let (at, mut value): (*mut u64, u64) = (place, value);
    // SAFETY: as above.
    unsafe { asm!("{value} = xchg_64({at} + 0, {value})", at = in(reg) at, value = inout(reg) value) }
    value
}

//! Comparisons as arithmetic: the kernel's verifier walks one path of them, where each branch of a loop would double what it walks.

/// All ones where `a < b`, else zero; for numbers below 2^63. The difference is hidden from the compiler, which would make a
/// branch of it again.
#[inline(always)]
pub(super) fn below(a: u64, b: u64) -> u64 {
    (core::hint::black_box(a.wrapping_sub(b)) as i64 >> 63) as u64
}

/// All ones where both are the same, else zero.
#[inline(always)]
pub(super) fn equal(a: u32, b: u32) -> u64 {
    below((a ^ b) as u64, 1)
}

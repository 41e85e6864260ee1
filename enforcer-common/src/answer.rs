//! What the rules answer: ranked so that the lower of two answers decides.

/// An answer of the rules, packed so that comparing two numbers compares their precedence:
/// `tier:8 · order:16 · allow:8 · rule:32`. In one tier and order, deny (0) comes before allow (1); between equals, the
/// rule that was read first.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[must_use]
pub struct Answer(pub u64);

impl Answer {
    /// No rule matched.
    pub const NONE: Self = Self(u64::MAX);

    /// An answer of rule number `rule`. `order` ranks rules inside a tier before their action (0 where only deny precedence counts).
    pub const fn new(tier: u8, order: u16, allow: bool, rule: u32) -> Self {
        Self((tier as u64) << 56 | (order as u64) << 40 | (allow as u64) << 32 | rule as u64)
    }

    /// Whether no rule matched.
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 == u64::MAX
    }

    /// Whether the deciding rule allows.
    #[inline(always)]
    pub const fn allows(self) -> bool {
        !self.is_none() && self.0 >> 32 & 1 == 1
    }

    /// The deciding rule's number; meaningless for [`Answer::NONE`].
    #[inline(always)]
    pub const fn rule(self) -> u32 {
        self.0 as u32
    }

    /// The one that decides.
    #[inline(always)]
    pub const fn first(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }
}

/// What a port range of a port set answers, until `deadline`; past it, decision number `next` answers instead.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Decision {
    /// Boot-time clock, nanoseconds; `u64::MAX` for never.
    pub deadline: u64,
    /// Without audited policies.
    pub enforced: Answer,
    /// With them.
    pub full: Answer,
    /// The decision after `deadline`.
    pub next: u32,
    /// Zero.
    pub reserved: u32,
}

impl Decision {
    /// Nothing matched; stands at index 0 of each bank.
    pub const NONE: Self =
        Self { deadline: u64::MAX, enforced: Answer::NONE, full: Answer::NONE, next: 0, reserved: 0 };
    /// How many successors a decision may have: distinct expiries that meet on one port range.
    pub const CHAIN: u32 = 16;
}

/// A break point of a port set: from `start` (`protocol << 16 | port`) up to the next break point, `decision` answers.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Interval {
    /// First `protocol << 16 | port`.
    pub start: u32,
    /// Index into the bank's decisions; 0 is [`Decision::NONE`].
    pub decision: u32,
}

/// Where a port set's break points stand: `intervals[first .. first + len]`, sorted by `start`. Never empty.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct PortSet {
    /// Index into the bank's intervals.
    pub first: u32,
    /// How many, at least 1 and at most [`PortSet::LONGEST`].
    pub len: u32,
}

impl PortSet {
    /// Binary search steps the kernel takes at most.
    pub const STEPS: u32 = 13;
    /// The longest port set.
    pub const LONGEST: u32 = (1 << Self::STEPS) - 1;
}

const _: () = assert!(size_of::<Decision>() == 32);
const _: () = assert!(size_of::<Interval>() == 8);
const _: () = assert!(size_of::<PortSet>() == 8);

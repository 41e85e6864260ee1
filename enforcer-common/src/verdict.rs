//! Verdicts: what happens to a packet, the word for it, and its cause.

use crate::Reason;

/// The word a verdict is reported with.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Word {
    /// It passes.
    Allowed = 0,
    /// It doesn't.
    Denied = 1,
    /// What is enforced and what would be with audited policies or segments in force differ.
    Audited = 2,
}

impl Word {
    /// The word with this code; unknown codes are [`Word::Denied`].
    #[inline(always)]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Allowed,
            2 => Self::Audited,
            _ => Self::Denied,
        }
    }

    /// As it stands in JSON and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Audited => "audited",
        }
    }
}

/// Rule number or reason in one word: reasons have the top bit.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Cause(pub u32);

impl Cause {
    const REASON: u32 = 1 << 31;

    /// Rule number `number` decided.
    #[inline(always)]
    pub const fn rule(number: u32) -> Self {
        Self(number & !Self::REASON)
    }

    /// No rule decided; this is why.
    #[inline(always)]
    pub const fn reason(reason: Reason) -> Self {
        Self(Self::REASON | reason as u32)
    }

    /// The deciding rule, if one did.
    #[inline(always)]
    pub const fn as_rule(self) -> Option<u32> {
        if self.0 & Self::REASON == 0 { Some(self.0) } else { None }
    }

    /// The reason, if no rule decided.
    pub const fn as_reason(self) -> Option<Reason> {
        if self.0 & Self::REASON == 0 { None } else { Reason::from_code(self.0 & !Self::REASON) }
    }

    /// Index into the reason counters; meaningless where a rule decided.
    #[inline(always)]
    pub const fn reason_code(self) -> u32 {
        self.0 & !Self::REASON
    }
}

/// A judged packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Outcome {
    /// Whether the packet goes on.
    pub passes: bool,
    /// What is reported.
    pub word: Word,
    /// Why.
    pub cause: Cause,
    /// Zero: types that stages of a kernel program hand on have no padding, which would be memory without a value.
    reserved: u16,
}

impl Outcome {
    /// An outcome as it stands.
    #[inline(always)]
    pub const fn new(passes: bool, word: Word, cause: Cause) -> Self {
        Self { passes, word, cause, reserved: 0 }
    }

    /// Dropped for `reason`.
    #[inline(always)]
    pub const fn deny(reason: Reason) -> Self {
        Self::new(false, Word::Denied, Cause::reason(reason))
    }

    /// Passed for `reason`.
    #[inline(always)]
    pub const fn pass(reason: Reason) -> Self {
        Self::new(true, Word::Allowed, Cause::reason(reason))
    }
}

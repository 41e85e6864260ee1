//! One row of the attack table.

use super::Scene;

/// An attack, what has to come of it, and the packets that show it.
#[derive(Debug, Clone)]
pub struct Attack {
    /// Stable: `E16`, or `X01` for one of our own.
    pub id: &'static str,
    /// What is tried.
    pub attack: &'static str,
    /// What has to come of it.
    pub expected: &'static str,
    /// Where the meaning declared in `docs/SEMANTICS.md` differs from the first table, or doesn't speak for itself: how and why.
    pub note: Option<&'static str>,
    /// The part that isn't built yet, without which this isn't wholly shown.
    pub waits: Option<&'static str>,
    /// What runs at levels 1 and 2.
    pub cases: Vec<Case>,
}

/// Packets in order. Its name is the test's.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Starts with the id.
    pub name: &'static str,
    /// Plays it.
    pub play: fn(&mut Scene),
}

impl Attack {
    pub(super) const fn new(id: &'static str, attack: &'static str, expected: &'static str) -> Self {
        Self { id, attack, expected, note: None, waits: None, cases: Vec::new() }
    }

    pub(super) fn cases(self, cases: &[Case]) -> Self {
        Self { cases: cases.to_vec(), ..self }
    }

    pub(super) fn note(self, note: &'static str) -> Self {
        Self { note: Some(note), ..self }
    }

    pub(super) fn waits(self, waits: &'static str) -> Self {
        Self { waits: Some(waits), ..self }
    }
}

/// Functions as cases, named after themselves.
macro_rules! cases {
    ($($play:ident),+ $(,)?) => {
        &[$($crate::evasion::Case { name: stringify!($play), play: $play }),+]
    };
}
pub(super) use cases;

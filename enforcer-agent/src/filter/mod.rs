//! Which records somebody wants to see: what `observe` and `top` take, what the control socket is asked for, and what it does with it.
//!
//! Several tests of one kind are "any of them", kinds are "all of them", and a test behind `not` takes away what it matches.

mod arguments;
mod matching;
mod query;
mod typed;

pub use arguments::FilterArgs;
pub use matching::Test;

use crate::protocol::{CauseRecord, FlowRecord, TamperRecord};

/// Tests of one request.
const MOST: usize = 256;
/// Bytes of them all. Written as a query, they stay within what the control socket reads of a request's head.
const LONGEST: usize = 16_000;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `allowed`, `denied` or `audited`.
    Verdict,
    /// An end, as `explain` names them.
    Identity,
    /// Who sent the packet.
    From,
    /// Whom it was sent to.
    To,
    /// An end, by its workload's name.
    Workload,
    /// The rule that decided.
    Rule,
    /// The reason where none did.
    Reason,
    /// Protocol and port.
    Port,
    /// `egress` or `ingress`.
    Direction,
    /// An end's address.
    Cidr,
}

impl Kind {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 10] = [
        Self::Verdict,
        Self::Identity,
        Self::From,
        Self::To,
        Self::Workload,
        Self::Rule,
        Self::Reason,
        Self::Port,
        Self::Direction,
        Self::Cidr,
    ];

    /// The flag's name, and the query's.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Identity => "identity",
            Self::From => "from",
            Self::To => "to",
            Self::Workload => "workload",
            Self::Rule => "rule",
            Self::Reason => "reason",
            Self::Port => "port",
            Self::Direction => "direction",
            Self::Cidr => "cidr",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Everything that may be asked for, where that is a few words.
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Verdict => &["allowed", "denied", "audited"],
            Self::Direction => &["egress", "ingress"],
            _ => &[],
        }
    }
}

/// Why a test can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    message: String,
    help: String,
}

impl FilterError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    /// The way out.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

/// All tests of somebody who wants records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    tests: Vec<Test>,
}

impl Filter {
    /// With these tests.
    pub fn new(tests: Vec<Test>) -> Result<Self, FilterError> {
        let bytes: usize = tests.iter().map(|test| test.text.len()).sum();
        if tests.len() > MOST || bytes > LONGEST {
            let told = format!("{} tests of {bytes} bytes are too much for a filter", tests.len());
            let help = format!("at most {MOST} tests, and {LONGEST} bytes of them all");
            return Err(FilterError::new(told, help));
        }
        Ok(Self { tests })
    }

    /// Whether there is no test.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether a record passes.
    #[must_use]
    pub fn wants(&self, record: &FlowRecord) -> bool {
        self.passes(&Kind::ALL, |test| test.matches(record))
    }

    /// Whether counters of a rule or a reason pass: only tests of these say anything of them.
    #[must_use]
    pub fn wants_cause(&self, cause: &CauseRecord) -> bool {
        self.passes(&[Kind::Rule, Kind::Reason], |test| test.matches_cause(cause))
    }

    /// Tampering concerns whoever observes verdicts, whatever the verdicts; with workloads asked for, not that of others' interfaces.
    #[must_use]
    pub fn wants_tamper(&self, record: &TamperRecord) -> bool {
        record.workload.is_none() || self.names(record.workload.as_deref())
    }

    /// Whether what is about this workload, or about none, is wanted: only tests of workloads' names say anything of it.
    #[must_use]
    pub fn names(&self, workload: Option<&str>) -> bool {
        self.passes(&[Kind::Workload], |test| workload == Some(&*test.text))
    }

    fn passes(&self, kinds: &[Kind], matches: impl Fn(&Test) -> bool) -> bool {
        kinds.iter().all(|kind| {
            let of_kind = || self.tests.iter().filter(|test| test.kind == *kind);
            let mut wanted = of_kind().filter(|test| !test.not).peekable();
            (wanted.peek().is_none() || wanted.any(&matches))
                && !of_kind().filter(|test| test.not).any(&matches)
        })
    }
}

#[cfg(test)]
mod tests;

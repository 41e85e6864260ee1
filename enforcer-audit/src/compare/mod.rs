//! Two policy sets on the same recording: which flows come out otherwise, and what the recording can't tell of what changes.
//!
//! Both sets take every packet and record, each as a dry run of its own, so a verdict here is the verdict that [`Audit`] comes to with that set
//! alone. What is compared are the flows at the end.

mod pairs;
mod report;
mod touched;

use crate::audit::{Audit, AuditError};
use crate::ground::since_epoch;
use crate::intake::Intake;
use enforcer_flows::{Item, Sink, Summary};
use enforcer_policy::compile::Clock;
use enforcer_policy::diff::{self, connectivity};
use jiff::Timestamp;

pub use report::{Changed, FlowChange, FlowChanges, Kind, OneSided, Side};

/// Two dry runs of one recording under way.
pub struct Comparison {
    pub(crate) old: Audit,
    pub(crate) new: Audit,
}

/// What connectivity changes, and how many recorded flows each change touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connectivity {
    /// Exact, by endpoints and ports.
    pub difference: diff::Difference,
    /// By change: recorded flows whose ends and port are among its own.
    pub touched: Vec<u64>,
}

impl Comparison {
    /// The same surroundings and the same inventory belong to both settings.
    #[must_use]
    pub fn new(old: Audit, new: Audit) -> Self {
        Self { old, new }
    }

    /// Which flows come out otherwise.
    pub fn flows(&self) -> Result<FlowChanges, AuditError> {
        self.old.sound()?;
        self.new.sound()?;
        Ok(FlowChanges::of(self))
    }

    /// What connectivity changes at an instant, between everybody whom documents, inventory and recording name.
    pub fn connectivity(&self, at: Timestamp) -> Result<Connectivity, AuditError> {
        self.old.sound()?;
        self.new.sound()?;
        let clock = Clock { now: at, boot_ns: since_epoch(at) };
        let (old, new) = (self.old.ground.as_of(clock)?, self.new.ground.as_of(clock)?);
        let difference = connectivity(Some(&old), &new, clock.boot_ns);
        let touched = touched::count(self, &difference, &diff::Names::new(Some(&old), &new));
        Ok(Connectivity { difference, touched })
    }
}

impl Sink for Comparison {
    fn take(&mut self, item: Item<'_>) {
        self.old.take(item);
        self.new.take(item);
    }
}

impl Intake for Comparison {
    fn begin(&mut self, name: &str) {
        self.old.begin(name);
        self.new.begin(name);
    }

    fn turn(&mut self, recording: usize) {
        self.old.turn(recording);
        self.new.turn(recording);
    }

    fn end(&mut self, summary: &Summary) {
        self.old.end(summary);
        self.new.end(summary);
    }
}

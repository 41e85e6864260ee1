//! What others did to what is enforced: looked for twice a second, put right by the packet path, told here.

use super::Engine;
use crate::daemon::clock::Instants;
use crate::datapath::{Damage, Fault, Inspection, Place, Unreachable};
use crate::protocol::{TamperRecord, TamperStatus, UnreachableStatus};
use enforcer_policy::diagnostic::shown;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use tracing::{debug, error, info, warn};

/// Between two looks. What is looked at each time is noticed within this, and a little for the look.
pub(super) const LOOKS: Duration = Duration::from_millis(500);
/// Records that `status` shows.
const RECENT: usize = 16;

/// What was found so far.
#[derive(Debug)]
pub(super) struct Tampering {
    looked: Instant,
    count: u64,
    recent: VecDeque<TamperRecord>,
    /// What couldn't be put right, so that it is told once.
    unrepaired: BTreeSet<(Damage, Place)>,
    unreachable: BTreeSet<Unreachable>,
    /// Since when either of them is so.
    since: Option<jiff::Timestamp>,
    /// Why looking failed, so that it is told once.
    blind: Option<String>,
}

impl Default for Tampering {
    fn default() -> Self {
        Self {
            looked: Instant::now(),
            count: 0,
            recent: VecDeque::new(),
            unrepaired: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            since: None,
            blind: None,
        }
    }
}

impl Tampering {
    /// When the next look is due.
    pub(super) fn due_in(&self) -> Duration {
        LOOKS.saturating_sub(self.looked.elapsed())
    }

    /// Why not everything is enforced as it should be, in one line.
    pub(super) fn why(&self) -> Option<String> {
        let several = |count: usize, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {more}")),
        };
        let behind = "is unreachable: what runs first may end the chain before it";
        let unreachable = several(
            self.unreachable.len(),
            &format!("hook {behind}"),
            "hooks are unreachable: what runs first may end the chain before them",
        );
        let unrepaired = several(
            self.unrepaired.len(),
            "thing was tampered with and could not be repaired",
            "things were tampered with and could not be repaired",
        );
        let told: Vec<String> = unreachable.into_iter().chain(unrepaired).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// Since when that is so.
    pub(super) fn since(&self) -> Option<jiff::Timestamp> {
        self.since
    }

    /// For `status`.
    pub(super) fn status(&self) -> TamperStatus {
        TamperStatus {
            count: self.count,
            unrepaired: self.unrepaired.len(),
            recent: self.recent.iter().cloned().collect(),
        }
    }

    /// What keeps packets from the hooks of a device.
    pub(super) fn ahead_of(&self, ifindex: u32) -> Vec<UnreachableStatus> {
        let here = self.unreachable.iter().filter(|one| one.ifindex == ifindex);
        let told = here.map(|one| UnreachableStatus {
            direction: one.direction.word().to_owned(),
            ahead: one.ahead.clone(),
            program: one.program,
        });
        told.collect()
    }

    /// Whether a hook was tampered with and could not be put right.
    pub(super) fn is_broken(&self, hook: &Place) -> bool {
        self.unrepaired.iter().any(|(_, place)| place == hook)
    }

    fn keep(&mut self, record: TamperRecord) {
        self.count += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(record);
    }
}

impl Engine {
    /// Looks whether everything is as it was left, if it is time.
    pub(super) fn inspect_in_time(&mut self) {
        if self.tampering.due_in().is_zero() {
            self.inspect();
        }
    }

    fn inspect(&mut self) {
        let (before, began) = (self.datapath.current(), Instants::now().boot);
        let Inspection { faults, unreachable, errors } = self.datapath.inspect();
        // What others let through is cut by the repair.
        if let Some(epoch) = self.datapath.current().filter(|epoch| Some(*epoch) != before) {
            self.note(epoch, began, self.next_end());
        }
        let before = self.tampering.why();
        for fault in &faults {
            self.tell_fault(fault);
        }
        // What was tried again in vain shows among the faults each time.
        self.tampering.unrepaired = faults
            .iter()
            .filter(|fault| fault.unrepaired.is_some())
            .map(|fault| (fault.damage, fault.place.clone()))
            .collect();
        self.tell_unreachable(unreachable.into_iter().collect());
        let blind = errors.first().map(ToString::to_string);
        if blind != self.tampering.blind {
            match &blind {
                Some(why) => warn!(error = why, "cannot tell whether everything is as it was left"),
                None => info!("can tell again whether everything is as it was left"),
            }
            self.tampering.blind = blind;
        }
        self.tampering.looked = Instant::now();
        let why = self.tampering.why();
        self.tampering.since =
            why.as_ref().map(|_| self.tampering.since.unwrap_or_else(jiff::Timestamp::now));
        if before != why {
            crate::daemon::notify::status(&self.summary());
        }
    }

    fn tell_fault(&mut self, fault: &Fault) {
        let known = (fault.damage, fault.place.clone());
        if fault.unrepaired.is_some() && self.tampering.unrepaired.contains(&known) {
            debug!(?fault, "still not repaired");
            return;
        }
        let mut record = self.record(fault.damage.word(), &fault.place);
        record.entries = record.table.is_some().then_some(fault.entries);
        record.gap_ms = u64::try_from(fault.gap.as_millis()).unwrap_or(u64::MAX);
        record.repaired = fault.unrepaired.is_none();
        record.error.clone_from(&fault.unrepaired);
        error!("tampered with: {}", crate::tamper_line::tamper_text(&record));
        self.feed.tallies().tampered(fault.damage.word());
        self.tampering.keep(record.clone());
        self.feed.tampered(record);
    }

    fn tell_unreachable(&mut self, now: BTreeSet<Unreachable>) {
        let before = std::mem::replace(&mut self.tampering.unreachable, now.clone());
        let come = now.difference(&before).map(|one| (one, "unreachable"));
        for (one, what) in come.chain(before.difference(&now).map(|one| (one, "reachable"))) {
            let Unreachable { ifindex, direction, .. } = *one;
            let mut record = self.record(what, &Place::Hook { ifindex, direction });
            record.ahead = Some(one.ahead.clone());
            record.program = one.program;
            record.repaired = what == "reachable";
            match record.repaired {
                true => {
                    info!(interface = record.interface.as_deref().map(shown), "a hook is reachable again")
                }
                false => error!("tampered with: {}", crate::tamper_line::tamper_text(&record)),
            }
            if !record.repaired {
                self.feed.tallies().tampered(what);
                self.tampering.keep(record.clone());
            }
            self.feed.tampered(record);
        }
    }

    fn record(&self, tamper: &str, place: &Place) -> TamperRecord {
        let mut record = TamperRecord {
            schema: "enforcer.tamper/v1".to_owned(),
            time: jiff::Timestamp::now().to_string(),
            tamper: tamper.to_owned(),
            interface: None,
            ifindex: None,
            direction: None,
            workload: None,
            hook: None,
            table: None,
            entries: None,
            pin: None,
            ahead: None,
            program: None,
            gap_ms: 0,
            repaired: false,
            error: None,
        };
        match place {
            Place::Hook { ifindex, direction } => {
                let interface = self.interfaces.all().find(|one| one.link.ifindex == *ifindex);
                record.interface = interface.map(|one| one.link.name.clone());
                record.workload = interface.and_then(|one| one.workload.clone());
                (record.ifindex, record.direction) = (Some(*ifindex), Some(direction.word().to_owned()));
            }
            Place::Sockets { direction } => record.direction = Some(direction.word().to_owned()),
            Place::Birthplaces(hook) => record.hook = Some((*hook).to_owned()),
            Place::Table(table) => record.table = Some((*table).to_owned()),
            Place::Pin(path) => record.pin = Some(path.clone()),
        }
        record
    }
}

//! The policy sets, and tables with them in force.

use enforcer_common::maps::Subject;
use enforcer_policy::check::parse;
use enforcer_policy::compile::{Clock, Compiled, Inputs, Numbers, compile};
use enforcer_policy::memory::{Capacity, MemoryTables};
use enforcer_policy::model::SegmentMode;
use enforcer_policy::source::Source;
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::LazyLock;

/// 2026-01-01T00:00:00Z, when the sets are compiled.
const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// Boot-time and coarse clock at that instant.
const BOOT: u64 = 1_000_000_000_000;
/// Small, so that full tables are met.
const CAPACITY: Capacity = Capacity { established: 24, embryonic: 16, fragments: 8 };
/// The hardware address that the hook which checks it has.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Whose hook it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Enforced(&'static str),
    Audited,
    Off,
    Nobody,
}

/// Hooks by number: `web` three times, without a link header and with a hardware address to check as well.
pub(super) const HOOKS: [Owner; 8] = [
    Owner::Enforced("web"),
    Owner::Enforced("db"),
    Owner::Audited,
    Owner::Off,
    Owner::Enforced("web"),
    Owner::Enforced("web"),
    Owner::Nobody,
    Owner::Enforced("db"),
];
/// The hook of a device without a link header.
pub(super) const BARE: usize = 4;
const CHECKED: usize = 5;

/// A compiled set with its hooks.
pub(super) struct Set {
    pub(super) compiled: Compiled,
    /// The workload whose denied packets are answered.
    pub(super) told: &'static str,
    subjects: Vec<(u32, Subject)>,
}

/// Both sets, and tables with the first in force.
pub(super) struct Ground {
    pub(super) sets: [Set; 2],
    pub(super) tables: MemoryTables,
}

pub(super) static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let mut numbers = Numbers::default();
    let texts =
        [(include_str!("../../ground/first.yaml"), "web"), (include_str!("../../ground/second.yaml"), "db")];
    let sets = texts.map(|(text, told)| set(text, told, &mut numbers));
    let mut tables = MemoryTables::with_capacity(&sets[0].compiled.image, CAPACITY);
    sets[0].put(&mut tables);
    tables.set_clock(BOOT, BOOT);
    Ground { sets, tables }
});

fn set(text: &str, told: &'static str, numbers: &mut Numbers) -> Set {
    let checked = parse(&[Source::new("ground.yaml", text)], NOW);
    let (set, _warnings) = checked.into_result().unwrap_or_else(|invalid| panic!("{:#?}", invalid.0));
    let host: [IpAddr; 2] = ["10.0.0.254".parse().unwrap(), "fd00::fe".parse().unwrap()];
    let clock = Clock { now: NOW, boot_ns: BOOT };
    let inputs = Inputs { set: &set, host: &host, default_mode: SegmentMode::Enforce, clock };
    let compiled = compile(&inputs, numbers).unwrap();
    let subjects = (0..HOOKS.len()).filter_map(|index| Some((index as u32, subject(&compiled, index)?)));
    Set { subjects: subjects.collect(), compiled, told }
}

fn subject(compiled: &Compiled, index: usize) -> Option<Subject> {
    let name = match HOOKS[index] {
        Owner::Enforced(name) => name,
        Owner::Audited => "trial",
        Owner::Off => "free",
        Owner::Nobody => return None,
    };
    let mut subject = compiled.subject(name).unwrap().subject;
    match index {
        BARE => subject.flags |= Subject::NO_LINK_HEADER,
        CHECKED => {
            subject.flags |= Subject::HAS_MAC;
            subject.mac = MAC;
        }
        _ => {}
    }
    Some(subject)
}

impl Set {
    /// Puts this set in force.
    pub(super) fn put(&self, tables: &mut MemoryTables) {
        tables.switch(&self.compiled.image, &self.subjects);
    }

    /// Whether `address` is one of `workload`'s own.
    pub(super) fn owns(&self, workload: &str, address: IpAddr) -> bool {
        self.compiled.subject(workload).unwrap().addresses.contains(&address)
    }
}

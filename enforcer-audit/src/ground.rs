//! The policy set with everybody who is known, compiled, and kept up as addresses change hands.

use crate::judge::Judge;
use crate::setting::{At, Managed, Setting};
use enforcer_policy::compile::{Clock, CompileError, Compiled, Delta, Inputs, Numbers, compile};
use enforcer_policy::model::{
    FlowPolicy, InterfacePattern, Labels, Origin, PolicySet, SegmentMode, Workload, WorkloadMatch,
};
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// No workload.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Documents, tables and hooks.
pub(crate) struct Ground {
    /// The documents, with workloads that inventory and recording name behind those of the documents.
    pub(crate) set: PolicySet,
    pub(crate) host: Vec<IpAddr>,
    pub(crate) default_mode: SegmentMode,
    pub(crate) clock: Clock,
    pub(crate) compiled: Compiled,
    pub(crate) judge: Judge,
    numbers: Numbers,
    /// By workload: whether it has a hook.
    hooked: Vec<bool>,
    names: FxHashMap<String, u32>,
    /// Who has those addresses now that aren't always the same workload's.
    holders: FxHashMap<IpAddr, u32>,
}

/// As policies know that something runs here, where it isn't said how it is found.
fn anywhere() -> Vec<WorkloadMatch> {
    vec![WorkloadMatch::Interface(InterfacePattern { text: String::new(), glob: false })]
}

fn found_here(workload: &Workload) -> bool {
    workload.matches.iter().any(WorkloadMatch::has_hook)
}

/// Whether workloads are known and nothing says where any of them runs.
pub(crate) fn nobody_runs(setting: &Setting) -> bool {
    let workloads = &setting.set.workloads;
    !workloads.is_empty()
        && workloads.iter().all(|workload| workload.matches.is_empty())
        && !setting.known.iter().any(|known| known.managed)
}

impl Ground {
    /// Compiles a setting. The workloads that an inventory knows stand without the addresses that aren't always theirs.
    pub(crate) fn new(setting: &Setting) -> Result<Self, CompileError> {
        let mut set = setting.set.clone();
        let mut hooked: Vec<bool> = Vec::with_capacity(set.workloads.len());
        let all = setting.managed == Managed::All || nobody_runs(setting);
        for workload in &mut set.workloads {
            if all && workload.matches.is_empty() {
                workload.matches = anywhere();
            }
            hooked.push(all || found_here(workload));
        }
        let clock = match setting.at {
            At::Instant(now) => Clock { now, boot_ns: since_epoch(now) },
            // Nothing has expired yet by then, so every deadline is in the tables.
            At::Own => Clock { now: Timestamp::UNIX_EPOCH, boot_ns: 0 },
        };
        let names = set.workloads.iter().zip(0..).map(|(workload, index)| (workload.name.clone(), index));
        let names = names.collect();
        let mut numbers = Numbers::default();
        let inputs = Inputs { set: &set, host: &setting.host, default_mode: setting.default_mode, clock };
        let compiled = compile(&inputs, &mut numbers)?;
        let judge = Judge::new(&compiled.image, clock.boot_ns);
        let mut ground = Self {
            host: setting.host.clone(),
            default_mode: setting.default_mode,
            set,
            clock,
            compiled,
            judge,
            numbers,
            hooked,
            names,
            holders: FxHashMap::default(),
        };
        ground.bind_all();
        Ok(ground)
    }

    /// Adds workloads that no document names, compiling once.
    pub(crate) fn extend(&mut self, workloads: Vec<(Workload, bool)>) -> Result<(), CompileError> {
        for (mut workload, managed) in workloads {
            workload.matches = if managed { anywhere() } else { Vec::new() };
            self.names.insert(workload.name.clone(), self.set.workloads.len() as u32);
            self.set.workloads.push(workload);
            self.hooked.push(managed);
        }
        self.recompile()
    }

    /// Gives a hook to a workload that a document names and an inventory knows to run. Takes effect when the set is compiled next.
    pub(crate) fn manage(&mut self, workload: u32) {
        let matches = &mut self.set.workloads[workload as usize].matches;
        if matches.is_empty() {
            *matches = anywhere();
        }
        self.hooked[workload as usize] = true;
    }

    /// The workload called so.
    pub(crate) fn named(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// Adds a workload that the recording names, without an address yet.
    pub(crate) fn add(&mut self, name: String, labels: Labels) -> u32 {
        let index = self.set.workloads.len() as u32;
        let origin = Origin { file: "".into(), line: 0, column: 0 };
        self.names.insert(name.clone(), index);
        self.set.workloads.push(Workload {
            name,
            origin,
            labels,
            matches: anywhere(),
            addresses: Vec::new(),
            lease: None,
        });
        self.hooked.push(true);
        index
    }

    /// Number of a workload's hook; 0 for none.
    pub(crate) fn hook(&self, workload: u32) -> u32 {
        if workload != NOBODY && self.hooked[workload as usize] { workload + 1 } else { 0 }
    }

    /// Whether the tables have an address as this workload's now, of those that change hands.
    pub(crate) fn holds(&self, address: IpAddr, owner: u32) -> bool {
        self.holders.get(&address) == Some(&owner)
    }

    /// Makes an address `owner`'s, if it isn't.
    pub(crate) fn hold(&mut self, address: IpAddr, owner: u32) -> Result<(), CompileError> {
        let before = self.holders.insert(address, owner).unwrap_or(NOBODY);
        if before == owner {
            return Ok(());
        }
        if before != NOBODY {
            self.set.workloads[before as usize].addresses.retain(|at| *at != address);
            self.upsert(before)?;
        }
        if owner != NOBODY {
            self.set.workloads[owner as usize].addresses.push(address);
            self.upsert(owner)?;
        }
        Ok(())
    }

    fn upsert(&mut self, workload: u32) -> Result<(), CompileError> {
        let document = &self.set.workloads[workload as usize];
        match self.compiled.upsert_workload(document, &mut self.numbers, self.clock)? {
            Some(delta) => self.apply(&delta),
            // What is there has no room for it as it stands.
            None => self.recompile()?,
        }
        Ok(())
    }

    fn apply(&mut self, delta: &Delta) {
        self.judge.apply(delta);
        for plan in &delta.subjects {
            let hook = self.named(&plan.workload).map_or(0, |workload| self.hook(workload));
            if hook != 0 {
                self.judge.bind(hook, plan.subject);
            }
        }
    }

    /// The set with everybody who is known by now, at another time.
    pub(crate) fn as_of(&self, clock: Clock) -> Result<Compiled, CompileError> {
        let Self { set, host, default_mode, .. } = self;
        compile(&Inputs { set, host, default_mode: *default_mode, clock }, &mut Numbers::default())
    }

    /// The same as it stands.
    pub(crate) fn as_it_is(&self) -> Result<Compiled, CompileError> {
        self.as_of(self.clock)
    }

    /// Everybody who is known by now, under other policies.
    pub(crate) fn with_policies(&self, policies: Vec<FlowPolicy>) -> Result<Self, CompileError> {
        let set = PolicySet { policies, ..self.set.clone() };
        let mut numbers = Numbers::default();
        let inputs =
            Inputs { set: &set, host: &self.host, default_mode: self.default_mode, clock: self.clock };
        let compiled = compile(&inputs, &mut numbers)?;
        let judge = Judge::new(&compiled.image, self.clock.boot_ns);
        let (host, hooked, names) = (self.host.clone(), self.hooked.clone(), self.names.clone());
        let (default_mode, clock, holders) = (self.default_mode, self.clock, self.holders.clone());
        let mut ground =
            Self { set, host, default_mode, clock, compiled, judge, numbers, hooked, names, holders };
        ground.bind_all();
        Ok(ground)
    }

    fn recompile(&mut self) -> Result<(), CompileError> {
        let Self { set, host, default_mode, clock, numbers, .. } = self;
        let inputs = Inputs { set, host, default_mode: *default_mode, clock: *clock };
        self.compiled = compile(&inputs, numbers)?;
        self.judge.switch(&self.compiled.image);
        self.bind_all();
        Ok(())
    }

    fn bind_all(&mut self) {
        for plan in &self.compiled.subjects {
            let Some(workload) = self.names.get(&plan.workload).copied() else { continue };
            if self.hooked[workload as usize] {
                self.judge.bind(workload + 1, plan.subject);
            }
        }
    }
}

/// Nanoseconds since the epoch; 0 before it.
pub(crate) fn since_epoch(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

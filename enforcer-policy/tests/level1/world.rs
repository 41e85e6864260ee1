//! A scene's tables in memory.

use enforcer_common::maps::Direction as Way;
use enforcer_common::packet::Frame;
use enforcer_common::{Hook, Outcome, Word, judge};
use enforcer_policy::compile::{Clock, Compiled, Inputs, Numbers, SubjectPlan, compile_with_breadth};
use enforcer_policy::memory::MemoryTables;
use enforcer_policy::model::{Entity, PolicySet, Selector, WorkloadMatch};
use enforcer_policy::reference::{Direction, Packet};
use enforcer_policy::testing::{Scene, frame};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ways to the same tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Variant {
    /// Sides that more kinds of endpoints match are broad.
    pub(crate) narrow: u32,
    /// Workloads and host addresses come one by one, after the compile.
    pub(crate) late: bool,
    /// How many workloads go away and come back, one by one.
    pub(crate) churn: usize,
}

/// Boot-time clock when the first tables are made.
const BOOT: u64 = 1_000_000_000_000;

/// Tables, and what their numbers mean.
#[derive(Clone)]
pub(crate) struct Compiled1 {
    variant: Variant,
    numbers: Numbers,
    compiled: Compiled,
    tables: MemoryTables,
    /// Hook numbers by workload, kept across sets.
    hooks: BTreeMap<String, u32>,
    started: Timestamp,
}

impl Compiled1 {
    pub(crate) fn new(scene: &Scene, now: Timestamp, variant: Variant) -> Result<Self, String> {
        let mut numbers = Numbers::default();
        let compiled = whole(scene, now, BOOT, variant, &mut numbers)?;
        let tables = MemoryTables::new(&compiled.image);
        let hooks = BTreeMap::new();
        let mut this = Self { variant, numbers, compiled, tables, hooks, started: now };
        this.bind_all();
        this.tables.set_clock(BOOT, BOOT);
        this.change(scene, Clock { now, boot_ns: BOOT })?;
        Ok(this)
    }

    pub(crate) fn replace(&mut self, scene: &Scene, now: Timestamp) -> Result<(), String> {
        self.compiled = whole(scene, now, self.boot(now), self.variant, &mut self.numbers)?;
        let plans = self.compiled.subjects.clone();
        let subjects: Vec<_> = plans
            .iter()
            .filter(|plan| hooked(plan))
            .map(|plan| (self.hook(&plan.workload), plan.subject))
            .collect();
        self.tables.switch(&self.compiled.image, &subjects);
        self.change(scene, Clock { now, boot_ns: self.boot(now) })
    }

    /// The reference's form of the verdict, and whether the packet passes; `None` where the subject has no hook.
    pub(crate) fn judge(&mut self, packet: &Packet) -> Option<(String, bool)> {
        let plan = self.compiled.subject(&packet.subject).filter(|plan| hooked(plan))?;
        let name = plan.workload.clone();
        let subject = self.hook(&name);
        let direction = match packet.direction {
            Direction::Egress => Way::Egress,
            Direction::Ingress => Way::Ingress,
        };
        let boot = self.boot(packet.at);
        // Nothing times out in the reference: the clock that idle times are measured by stands still.
        self.tables.set_clock(boot, BOOT);
        let bytes = frame(packet);
        let outcome = judge(&Frame::new(&bytes), Hook { subject, direction }, &mut self.tables);
        Some((self.show(outcome), outcome.passes))
    }

    fn show(&self, outcome: Outcome) -> String {
        let cause = match (outcome.cause.as_rule(), outcome.cause.as_reason()) {
            (Some(rule), _) => self.compiled.rule(rule).map_or(format!("rule {rule}?"), |rule| rule.name()),
            (None, Some(reason)) => reason.word().to_owned(),
            (None, None) => format!("{:?}", outcome.cause),
        };
        match (outcome.word, outcome.passes) {
            (Word::Audited, true) => format!("audited(passes) {cause}"),
            (Word::Audited, false) => format!("audited(dropped) {cause}"),
            (word, _) => format!("{} {cause}", word.word()),
        }
    }

    fn boot(&self, at: Timestamp) -> u64 {
        let passed = at.as_nanosecond() - self.started.as_nanosecond();
        BOOT.checked_add_signed(passed as i64).expect("sequences are short")
    }

    fn hook(&mut self, workload: &str) -> u32 {
        let next = self.hooks.len() as u32 + 1;
        *self.hooks.entry(workload.to_owned()).or_insert(next)
    }

    fn bind_all(&mut self) {
        for plan in self.compiled.subjects.clone() {
            self.bind(&plan);
        }
    }

    fn bind(&mut self, plan: &SubjectPlan) {
        if hooked(plan) {
            let hook = self.hook(&plan.workload);
            self.tables.bind(hook, plan.subject);
        }
    }

    /// What the variant does after a compile: in the end the tables mean `scene` again.
    fn change(&mut self, scene: &Scene, clock: Clock) -> Result<(), String> {
        let workloads = &scene.set.workloads;
        if self.variant.late {
            for workload in workloads {
                self.upsert(workload, clock)?;
            }
            let delta = self.compiled.set_host_addresses(&scene.hosts).map_err(|error| error.to_string())?;
            self.tables.apply(&delta.ok_or("the host's addresses don't fit")?);
        }
        for (index, workload) in workloads.iter().take(self.variant.churn).enumerate() {
            if index % 2 == 1 {
                // Changes everything instead of going away.
                let other = &workloads[(index + 1) % workloads.len()];
                let changed = enforcer_policy::model::Workload {
                    labels: other.labels.clone(),
                    lease: other.lease.clone(),
                    addresses: workload.addresses.iter().skip(1).copied().collect(),
                    matches: vec![],
                    ..workload.clone()
                };
                self.upsert(&changed, clock)?;
            } else {
                let delta = self.compiled.remove_workload(&workload.name, &mut self.numbers);
                self.tables.apply(&delta.map_err(|error| error.to_string())?.ok_or("a removal doesn't fit")?);
            }
            self.upsert(workload, clock)?;
        }
        Ok(())
    }

    fn upsert(&mut self, workload: &enforcer_policy::model::Workload, clock: Clock) -> Result<(), String> {
        let delta = self
            .compiled
            .upsert_workload(workload, &mut self.numbers, clock)
            .map_err(|error| error.to_string())?;
        let delta = delta.ok_or("a workload doesn't fit")?;
        self.tables.apply(&delta);
        for name in &delta.removed_subjects {
            let hook = self.hook(name);
            self.tables.unbind(hook);
        }
        delta.subjects.iter().for_each(|plan| self.bind(plan));
        Ok(())
    }
}

/// As the reference has it: this build finds no container by itself.
fn hooked(plan: &SubjectPlan) -> bool {
    plan.matches.iter().any(|entry| !matches!(entry, WorkloadMatch::Container { .. }))
}

fn whole(
    scene: &Scene,
    now: Timestamp,
    boot_ns: u64,
    variant: Variant,
    numbers: &mut Numbers,
) -> Result<Compiled, String> {
    let mut set: PolicySet = scene.set.clone();
    let mut host = scene.hosts.as_slice();
    if variant.late {
        // Who lives on the machine's addresses moves with them, which is no change in place.
        let resident =
            set.workloads.iter().flat_map(|workload| &workload.matches).any(WorkloadMatch::is_cgroup);
        let host_held =
            set.segments.iter().any(|segment| segment.select.contains(&Selector::Entity(Entity::Host)));
        if !resident && !host_held {
            host = &[];
        }
        set.workloads.clear();
    }
    let clock = Clock { now, boot_ns };
    let inputs = Inputs { set: &set, host, default_mode: scene.default_mode, clock };
    compile_with_breadth(&inputs, numbers, variant.narrow).map_err(|error| error.to_string())
}

//! Which device belongs to which workload, and what has been hooked.

use super::Engine;
use crate::datapath::Hook;
use enforcer_common::maps::{Subject, mode};
use enforcer_policy::compile::SubjectPlan;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::WorkloadMatch;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;
use tracing::{info, warn};

/// A device as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// Whether its packets begin with an Ethernet header.
    pub ethernet: bool,
    /// Whether it is one end of a pair whose other end is in another network namespace.
    pub abroad: bool,
}

/// A device and what has become of it.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    pub(super) link: Link,
    /// The workload it belongs to.
    pub(super) workload: Option<String>,
    pub(super) hook: Option<Hook>,
    pub(super) error: Option<String>,
    /// It is denied, although nobody claims it: it may be a container's that isn't known yet.
    pub(super) held: bool,
    /// When it appeared, and whether that was while the daemon watched.
    pub(super) since: Instant,
    pub(super) new: bool,
    /// What the tables say of it.
    subject: Option<Subject>,
}

/// What nobody claims any more: it passes.
const LET_GO: Subject = Subject {
    identity: u32::MAX,
    mode: mode::OFF,
    flags: 0,
    mac: [0; 6],
    address4: [0; 1],
    class4: 0,
    coarse4: 0,
    class6: 0,
    coarse6: 0,
    address6: [0; 4],
};

impl Interface {
    /// What the tables say of a hooked device that nobody claims any more. Without it, its hook would deny everything for as long as it is
    /// still there, flows included that go on afterwards.
    fn let_go(&self) -> Option<Subject> {
        self.hook.filter(|_| !self.held).map(|_| LET_GO)
    }
}

/// Every device of the host.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    by_index: BTreeMap<u32, Interface>,
    claims: Claims,
}

/// Which workload claims a name: whole names first, then the longest glob.
#[derive(Debug, Default)]
struct Claims {
    exact: HashMap<String, usize>,
    globs: Vec<(String, usize)>,
}

impl Claims {
    fn of(plans: &[SubjectPlan]) -> Self {
        let mut claims = Self::default();
        for (number, plan) in plans.iter().enumerate() {
            for matched in &plan.matches {
                let WorkloadMatch::Interface(pattern) = matched else { continue };
                if pattern.glob {
                    claims.globs.push((pattern.text.clone(), number));
                } else {
                    claims.exact.entry(pattern.text.clone()).or_insert(number);
                }
            }
        }
        claims.globs.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        claims
    }

    fn plan<'a>(&self, name: &str, plans: &'a [SubjectPlan]) -> Option<&'a SubjectPlan> {
        let glob =
            || self.globs.iter().find(|(text, _)| name.starts_with(text.as_str())).map(|(_, number)| number);
        self.exact.get(name).or_else(glob).and_then(|number| plans.get(*number))
    }
}

impl Interfaces {
    /// Devices by index.
    pub(super) fn all(&self) -> impl Iterator<Item = &Interface> {
        self.by_index.values()
    }

    /// The subjects of every device that these plans claim, and of those that are hooked and about to be let go.
    pub(super) fn subjects(&self, plans: &[SubjectPlan]) -> Vec<(u32, Subject)> {
        let claims = Claims::of(plans);
        let claimed = |interface: &Interface| {
            let plan = claims.plan(&interface.link.name, plans);
            let subject = plan.map(|plan| whose(plan, &interface.link)).or_else(|| interface.let_go())?;
            Some((interface.link.ifindex, subject))
        };
        self.all().filter_map(claimed).collect()
    }

    /// The same to a set that may come in force again, while `now` is: devices that only `now` claims are let go by then.
    pub(super) fn behind(&self, plans: &[SubjectPlan], now: Option<&[SubjectPlan]>) -> Vec<(u32, Subject)> {
        let (claims, now) = (Claims::of(plans), now.map(|now| (Claims::of(now), now)));
        let whose = |interface: &Interface| {
            let plan = claims.plan(&interface.link.name, plans);
            let claimed = now
                .as_ref()
                .is_some_and(|(claims, plans)| claims.plan(&interface.link.name, plans).is_some());
            let passed = || (claimed || interface.hook.is_some()).then_some(LET_GO);
            let subject = plan.map(|plan| whose(plan, &interface.link)).or_else(passed)?;
            Some((interface.link.ifindex, subject))
        };
        self.all().filter_map(whose).collect()
    }

    /// What the tables say of hooked devices.
    pub(super) fn hooked(&self) -> impl Iterator<Item = Subject> {
        self.all().filter(|interface| interface.hook.is_some()).filter_map(|interface| interface.subject)
    }

    /// How many devices are hooked.
    pub(super) fn attached(&self) -> usize {
        self.by_index.values().filter(|interface| interface.hook.is_some()).count()
    }

    /// Says of each device that no workload has whether it is held.
    pub(super) fn mark_held(&mut self, holds: impl Fn(&Interface) -> bool) {
        for interface in self.by_index.values_mut() {
            interface.held = holds(interface);
        }
    }

    /// Devices of nobody that are hooked and shouldn't be, or the other way round.
    pub(super) fn misheld(&self, holds: impl Fn(&Interface) -> bool) -> Vec<(u32, Option<Hook>)> {
        let unclaimed = self.by_index.iter().filter(|(_, one)| one.workload.is_none() && one.error.is_none());
        let wrong = unclaimed.filter(|(_, one)| one.hook.is_some() != holds(one));
        wrong.map(|(ifindex, one)| (*ifindex, one.hook)).collect()
    }

    /// Devices that could not be hooked or let go of.
    pub(super) fn unsettled(&self) -> Vec<Link> {
        self.by_index.values().filter(|one| one.error.is_some()).map(|one| one.link.clone()).collect()
    }

    /// What has to be written for the tables to say `wanted`.
    pub(super) fn changed(&self, wanted: &[(u32, Subject)]) -> Vec<(u32, Option<Subject>)> {
        let wanted: HashMap<u32, Subject> = wanted.iter().copied().collect();
        let told =
            self.by_index.iter().map(|(ifindex, one)| (*ifindex, one.subject, wanted.get(ifindex).copied()));
        told.filter(|(_, is, wanted)| is != wanted).map(|(ifindex, _, wanted)| (ifindex, wanted)).collect()
    }

    /// The tables say `wanted`, and nothing of any other device.
    pub(super) fn written(&mut self, wanted: &[(u32, Subject)]) {
        for interface in self.by_index.values_mut() {
            interface.subject = None;
        }
        for (ifindex, subject) in wanted {
            if let Some(interface) = self.by_index.get_mut(ifindex) {
                interface.subject = Some(*subject);
            }
        }
    }
}

/// What the tables say of a device: what was compiled for its workload, and what only the device itself tells.
fn whose(plan: &SubjectPlan, link: &Link) -> Subject {
    let mut subject = plan.subject;
    if !link.ethernet {
        subject.flags |= Subject::NO_LINK_HEADER;
    }
    subject
}

impl Engine {
    /// Hooks every device that the set in force claims, and lets go of those that it doesn't.
    pub(super) fn settle(&mut self) {
        self.settle_cgroups();
        let Some(live) = &self.live else { return };
        self.interfaces.claims = Claims::of(&live.compiled.subjects);
        let hooked: HashMap<u32, Hook> = match self.datapath.attached() {
            Ok(attached) => attached.into_iter().map(|found| (found.ifindex, found.hook)).collect(),
            Err(error) => {
                warn!(%error, "could not tell which interfaces are attached");
                HashMap::new()
            }
        };
        let indexes: Vec<u32> = self.interfaces.by_index.keys().copied().collect();
        for ifindex in indexes {
            self.settle_one(ifindex, hooked.get(&ifindex).copied());
        }
        for ifindex in hooked.keys().filter(|ifindex| !self.interfaces.by_index.contains_key(ifindex)) {
            if let Err(error) = self.datapath.detach(*ifindex) {
                warn!(ifindex, %error, "could not let go of an interface that has gone");
            }
        }
        self.tell_hooked();
    }

    /// Brings one device's hook in line with who claims it. Its subject stands in the tables already.
    pub(super) fn settle_one(&mut self, ifindex: u32, hooked: Option<Hook>) {
        let (Some(live), Some(interface)) = (&self.live, self.interfaces.by_index.get_mut(&ifindex)) else {
            return;
        };
        let plan = self.interfaces.claims.plan(&interface.link.name, &live.compiled.subjects);
        interface.workload = plan.map(|plan| plan.workload.clone());
        interface.hook = hooked;
        interface.error = None;
        interface.held = plan.is_none() && self.containers.holds(interface);
        let name = shown(&interface.link.name);
        // A set that may come in force again finds its hooks where they were.
        let kept = |name: &str| {
            let before = self.trial.as_ref().map(|trial| &*trial.before.compiled.subjects);
            before.is_some_and(|plans| Claims::of(plans).plan(name, plans).is_some())
        };
        match (plan, hooked) {
            (None, Some(_)) if kept(&interface.link.name) => {}
            (Some(plan), None) => match self.datapath.attach(ifindex, &interface.link.name) {
                Ok(attachment) => {
                    interface.hook = Some(attachment.hook);
                    info!(
                        interface = name,
                        ifindex,
                        workload = plan.workload,
                        hook = attachment.hook.word(),
                        "attached"
                    );
                }
                Err(error) => {
                    warn!(interface = name, ifindex, workload = plan.workload, %error, "could not attach");
                    interface.error = Some(error.to_string());
                }
            },
            (None, None) if interface.held => match self.datapath.attach(ifindex, &interface.link.name) {
                Ok(attachment) => {
                    interface.hook = Some(attachment.hook);
                    info!(
                        interface = name,
                        ifindex, "attached: denied until a container engine says whose it is"
                    );
                }
                Err(error) => {
                    warn!(interface = name, ifindex, %error, "could not attach");
                    interface.error = Some(error.to_string());
                }
            },
            (None, Some(_)) if interface.held => {}
            (None, Some(_)) => match self.datapath.detach(ifindex) {
                Ok(_) => {
                    interface.hook = None;
                    info!(interface = name, ifindex, "detached: no workload claims it any more");
                    if interface.subject.is_some() {
                        self.forget_subject(ifindex);
                    }
                }
                Err(error) => {
                    warn!(interface = name, ifindex, %error, "could not detach");
                    interface.error = Some(error.to_string());
                }
            },
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// A device is there, has another name, or its properties changed.
    pub(super) fn link_up(&mut self, link: Link) {
        let ifindex = link.ifindex;
        let before = self.interfaces.by_index.remove(&ifindex);
        if let Some(before) = before.as_ref().filter(|before| before.link == link && before.error.is_none()) {
            self.interfaces.by_index.insert(ifindex, before.clone());
            return;
        }
        let (since, new) = before
            .as_ref()
            .map_or_else(|| (Instant::now(), self.live.is_some()), |before| (before.since, before.new));
        let (hook, subject) = before.map_or((None, None), |before| (before.hook, before.subject));
        let mut interface =
            Interface { link, workload: None, hook, error: None, held: false, since, new, subject };
        let mut told = true;
        if let Some(live) = &self.live {
            let plan = self.interfaces.claims.plan(&interface.link.name, &live.compiled.subjects);
            interface.held = plan.is_none() && self.containers.holds(&interface);
            let wanted = plan.map(|plan| whose(plan, &interface.link)).or_else(|| interface.let_go());
            // Whose it is comes first, so that its first packet already meets its own rules.
            if wanted != interface.subject {
                self.announce(self.next_end());
                match self.datapath.set_subject(ifindex, wanted) {
                    Ok(_) => interface.subject = wanted,
                    Err(error) => {
                        warn!(ifindex, %error, "could not say whose an interface is");
                        interface.error = Some(error.to_string());
                        told = false;
                    }
                }
            }
        }
        let claimed = self.live.is_some();
        self.interfaces.by_index.insert(ifindex, interface);
        self.write_behind_device(ifindex);
        // Where the tables don't know it, it is hooked all the same: unknown is denied.
        if claimed {
            let error = self.interfaces.by_index.get(&ifindex).and_then(|one| one.error.clone());
            self.settle_one(ifindex, hook);
            if !told && let Some(interface) = self.interfaces.by_index.get_mut(&ifindex) {
                interface.error = error;
            }
            self.tell_hooked();
        }
    }

    /// A device has gone. Its index may be given to another one.
    pub(super) fn link_gone(&mut self, ifindex: u32) {
        let Some(gone) = self.interfaces.by_index.remove(&ifindex) else { return };
        if gone.workload.is_none() && gone.hook.is_none() {
            return;
        }
        self.tell_hooked();
        info!(interface = shown(&gone.link.name), ifindex, "an interface has gone");
        self.forget_subject(ifindex);
        if let Err(error) = self.datapath.detach(ifindex) {
            warn!(ifindex, %error, "could not let go of an interface that has gone");
        }
    }

    /// Says who has a hook here that makes records, at a device or at sockets.
    pub(super) fn tell_hooked(&self) {
        let is_judged = |one: &Subject| one.mode != mode::OFF || one.flags & Subject::QUARANTINED != 0;
        let judged = self.interfaces.hooked().chain(self.residents()).filter(is_judged);
        self.names.hooked(judged.map(|subject| subject.identity).collect());
    }

    /// The tables say nothing of a device any more.
    fn forget_subject(&mut self, ifindex: u32) {
        self.announce(self.next_end());
        match self.datapath.set_subject(ifindex, None) {
            Ok(_) => {
                if let Some(interface) = self.interfaces.by_index.get_mut(&ifindex) {
                    interface.subject = None;
                }
                self.write_behind_device(ifindex);
            }
            Err(error) => warn!(ifindex, %error, "could not forget whose an interface was"),
        }
    }
}

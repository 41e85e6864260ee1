//! Whose an address is, at a time: the documents' workload or group, the inventory's, else whom the recording names.

use crate::ground::{Ground, NOBODY};
use crate::report::Identity;
use crate::setting::Setting;
use enforcer_common::maps::kind;
use enforcer_flows::{Time, Who};
use enforcer_policy::compile::{CompileError, IdentityKind};
use enforcer_policy::explain::is_multicast;
use enforcer_policy::model::{Origin, Workload};
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Marks an index into the tenures, where an end's is expected.
const TENURES: u32 = 1 << 31;

/// One end of flows: an address while it is one identity's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) address: IpAddr,
    /// Index into [`Ends::identities`].
    pub(crate) identity: u32,
    /// Index of its workload, or [`NOBODY`].
    pub(crate) workload: u32,
    /// Number of its hook; 0 for none.
    pub(crate) hook: u32,
    /// The address isn't always its: see that the tables have it so before judging.
    pub(crate) changes: bool,
    /// Nothing in documents or inventory names it.
    unnamed: bool,
}

/// An address in somebody's hands for some time.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Time,
    until: Time,
    end: u32,
}

/// Every address that was met, once for each identity it had.
#[derive(Default)]
pub(crate) struct Ends {
    all: Vec<End>,
    four: FxHashMap<u32, u32>,
    six: FxHashMap<u128, u32>,
    tenures: Vec<Vec<Span>>,
    /// By what a record says of an address. Whoever is a key is kept, so that no other one can come to stand at the same place in memory.
    said: FxHashMap<(usize, IpAddr), u32>,
    kept: Vec<Arc<Who>>,
    /// Workload by what records say.
    who: FxHashMap<Who, u32>,
    /// By workload and address, of those whom records name.
    placed: FxHashMap<(u32, IpAddr), u32>,
    /// How many workloads documents and inventory name.
    documented: u32,
    world: Option<u32>,
    identities: Vec<Identity>,
    identity_index: FxHashMap<Identity, u32>,
    workload_identity: FxHashMap<u32, u32>,
    /// By the number that groups and the host have in the tables.
    numbered: FxHashMap<u32, u32>,
}

impl Ends {
    /// Brings the inventory in.
    pub(crate) fn new(setting: &Setting, ground: &mut Ground) -> Result<Self, CompileError> {
        let mut ends = Self::default();
        let mut claims: FxHashMap<IpAddr, Vec<(u32, Time, Time)>> = FxHashMap::default();
        let mut added: Vec<(Workload, bool)> = Vec::new();
        let documents = ground.set.workloads.len() as u32;
        let taken: FxHashMap<IpAddr, ()> = ground
            .set
            .workloads
            .iter()
            .flat_map(|workload| &workload.addresses)
            .map(|at| (*at, ()))
            .collect();
        let mut fresh: FxHashMap<&str, u32> = FxHashMap::default();
        for known in &setting.known {
            let document = ground.named(&known.name);
            if let Some(document) = document.filter(|_| known.managed) {
                ground.manage(document);
            }
            let index = match document.or_else(|| fresh.get(known.name.as_str()).copied()) {
                Some(index) => index,
                None if known.labels.is_empty() => continue,
                None => {
                    let index = documents + added.len() as u32;
                    fresh.insert(&known.name, index);
                    let origin = Origin { file: "".into(), line: 0, column: 0 };
                    let (name, labels) = (known.name.clone(), known.labels.clone());
                    let managed = known.managed || setting.managed == crate::Managed::All;
                    let (matches, addresses) = (Vec::new(), Vec::new());
                    added.push((Workload { name, origin, labels, matches, addresses, lease: None }, managed));
                    index
                }
            };
            for tenure in &known.addresses {
                if !taken.contains_key(&tenure.address) {
                    let (from, until) = (tenure.from.unwrap_or(Time::MIN), tenure.until.unwrap_or(Time::MAX));
                    claims.entry(tenure.address).or_default().push((index, from, until));
                }
            }
        }
        let mut changing = Vec::new();
        for (address, claims) in claims {
            match claims[..] {
                // Always its own.
                [(index, Time::MIN, Time::MAX)] if index >= documents => {
                    added[(index - documents) as usize].0.addresses.push(address);
                }
                [(index, Time::MIN, Time::MAX)] => {
                    ground.set.workloads[index as usize].addresses.push(address);
                }
                _ => changing.push((address, claims)),
            }
        }
        if !setting.known.is_empty() {
            ground.extend(added)?;
        }
        ends.documented = ground.set.workloads.len() as u32;
        for (address, mut claims) in changing {
            claims.sort_by_key(|(_, from, _)| *from);
            let nobody = ends.find(address, ground);
            ends.all[nobody as usize].changes = true;
            let mut spans = vec![Span { from: Time::MIN, until: Time::MIN, end: nobody }];
            for (workload, from, until) in claims {
                let end = ends.of_workload(address, workload, true, ground);
                spans.push(Span { from, until, end });
            }
            let at = ends.tenures.len() as u32 | TENURES;
            ends.tenures.push(spans);
            ends.put(address, at);
        }
        Ok(ends)
    }

    pub(crate) fn get(&self, end: u32) -> End {
        self.all[end as usize]
    }

    pub(crate) fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// How many workloads documents and inventory name; those behind them are named by the recording.
    pub(crate) fn documented(&self) -> usize {
        self.documented as usize
    }

    /// How many addresses were met.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The end that has an address at all times; nothing in place of it where there are several, or one for some of the time. `None` where the
    /// address wasn't met.
    pub(crate) fn always(&self, address: IpAddr) -> Option<Option<u32>> {
        let known = match address {
            IpAddr::V4(at) => self.four.get(&u32::from(at)),
            IpAddr::V6(at) => self.six.get(&u128::from(at)),
        };
        known.map(|end| Some(*end).filter(|end| end & TENURES == 0 && !self.all[*end as usize].changes))
    }

    /// The end that has `address` at `time`, or that a record says has it where nothing else names it.
    pub(crate) fn at(
        &mut self,
        address: IpAddr,
        time: Option<Time>,
        who: Option<&Arc<Who>>,
        ground: &mut Ground,
    ) -> u32 {
        let known = match address {
            IpAddr::V4(at) => self.four.get(&u32::from(at)),
            IpAddr::V6(at) => self.six.get(&u128::from(at)),
        };
        let end = match known.copied() {
            Some(end) if end & TENURES == 0 => end,
            Some(tenures) => self.in_hands(tenures & !TENURES, time),
            None => {
                let end = self.find(address, ground);
                self.put(address, end);
                end
            }
        };
        match who {
            Some(who) if self.all[end as usize].unnamed => self.said(address, end, who, ground),
            _ => end,
        }
    }

    /// Sees that the tables have both ends as they are.
    pub(crate) fn settle(&self, ends: [u32; 2], ground: &mut Ground) -> Result<(), CompileError> {
        for end in ends.map(|end| self.all[end as usize]) {
            if end.changes {
                ground.hold(end.address, end.workload)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, address: IpAddr, value: u32) {
        match address {
            IpAddr::V4(at) => self.four.insert(u32::from(at), value),
            IpAddr::V6(at) => self.six.insert(u128::from(at), value),
        };
    }

    /// Of several who claim the same time, the one that came last; without a time, the last of all.
    fn in_hands(&self, tenures: u32, time: Option<Time>) -> u32 {
        let spans = &self.tenures[tenures as usize];
        let holds = |span: &&Span| time.is_none_or(|time| (span.from..span.until).contains(&time));
        spans[1..].iter().rev().find(holds).unwrap_or(&spans[0]).end
    }

    /// What the tables say of an address.
    fn find(&mut self, address: IpAddr, ground: &Ground) -> u32 {
        let endpoint = ground.judge.endpoint(address);
        if is_multicast(address) {
            let identity = self.identity(Identity::entity("multicast"));
            return self.push(address, identity, false);
        }
        if let Some(identity) = self.numbered.get(&endpoint.identity) {
            return self.push(address, *identity, false);
        }
        let Some(info) = ground.compiled.identity(endpoint.identity) else {
            debug_assert!(endpoint.kind == kind::WORLD || endpoint.kind == kind::MULTICAST);
            return self.of_world(address);
        };
        let identity = match info.kind {
            IdentityKind::Workload => {
                let workload = ground.named(&info.name).unwrap_or(NOBODY);
                return self.of_workload(address, workload, false, ground);
            }
            IdentityKind::Group => Identity::labelled("group", &info.name, info.labels.clone()),
            IdentityKind::Host => Identity::entity("host"),
        };
        let identity = self.identity(identity);
        self.numbered.insert(endpoint.identity, identity);
        self.push(address, identity, false)
    }

    fn of_workload(&mut self, address: IpAddr, workload: u32, changes: bool, ground: &Ground) -> u32 {
        if workload == NOBODY {
            return self.of_world(address);
        }
        let identity = match self.workload_identity.get(&workload) {
            Some(identity) => *identity,
            None => {
                let document = &ground.set.workloads[workload as usize];
                let identity =
                    self.identity(Identity::labelled("workload", &document.name, document.labels.clone()));
                self.workload_identity.insert(workload, identity);
                identity
            }
        };
        let hook = ground.hook(workload);
        self.all.push(End { address, identity, workload, hook, changes, unnamed: false });
        self.all.len() as u32 - 1
    }

    fn of_world(&mut self, address: IpAddr) -> u32 {
        let identity = match self.world {
            Some(identity) => identity,
            None => self.identity(Identity::entity("world")),
        };
        self.world = Some(identity);
        self.push(address, identity, true)
    }

    fn push(&mut self, address: IpAddr, identity: u32, unnamed: bool) -> u32 {
        self.all.push(End { address, identity, workload: NOBODY, hook: 0, changes: false, unnamed });
        self.all.len() as u32 - 1
    }

    fn identity(&mut self, identity: Identity) -> u32 {
        let key = Identity { members: Vec::new(), more: 0, ..identity.clone() };
        if let Some(index) = self.identity_index.get(&key) {
            let index = *index;
            self.identities[index as usize].join(identity);
            return index;
        }
        let index = self.identities.len() as u32;
        self.identity_index.insert(key, index);
        self.identities.push(identity);
        index
    }

    /// The end that a record names, at an address that nothing else does.
    fn said(&mut self, address: IpAddr, nobody: u32, who: &Arc<Who>, ground: &mut Ground) -> u32 {
        let key = (Arc::as_ptr(who) as usize, address);
        if let Some(end) = self.said.get(&key) {
            return *end;
        }
        let end = match self.workload_of(who, ground) {
            None => nobody,
            Some(workload) => match self.placed.get(&(workload, address)) {
                Some(end) => *end,
                None => {
                    self.all[nobody as usize].changes = true;
                    let end = self.of_workload(address, workload, true, ground);
                    self.placed.insert((workload, address), end);
                    end
                }
            },
        };
        self.said.insert(key, end);
        self.kept.push(Arc::clone(who));
        end
    }

    /// The workload that a record means: the document's of that name, else one that is made for it.
    fn workload_of(&mut self, who: &Arc<Who>, ground: &mut Ground) -> Option<u32> {
        if let Some(workload) = self.who.get(&**who) {
            return Some(*workload);
        }
        let named = who.name.as_deref().and_then(|name| ground.named(name));
        let workload = match named.filter(|index| *index < self.documented) {
            Some(workload) => workload,
            None if who.labels.is_empty() => return None,
            None => {
                let pairs = || who.labels.iter().map(|(key, value)| format!("{key}={value}"));
                let mut name = who.name.clone().unwrap_or_else(|| pairs().collect::<Vec<_>>().join(","));
                while ground.named(&name).is_some() {
                    name.push('\'');
                }
                ground.add(name, who.labels.clone().into())
            }
        };
        self.who.insert(who.as_ref().clone(), workload);
        Some(workload)
    }
}

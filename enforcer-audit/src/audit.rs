//! The dry run itself: takes what a recording says and keeps what the report is made from.

use crate::ends::Ends;
use crate::flows::{Flow, Flows, Key};
use crate::ground::{Ground, NOBODY, since_epoch};
use crate::groups::Groups;
use crate::judge::{Path, Ruling};
use crate::opener::Listeners;
use crate::packets::Parts;
use crate::records::Cache;
use crate::repeats::Repeats;
use crate::report::{Report, Totals};
use crate::setting::{At, Setting};
use crate::unsure::Held;
use enforcer_flows::{Damage, Gap, Item, Sink, Summary, Time};
use enforcer_policy::compile::CompileError;
use rustc_hash::FxHashSet;
use std::net::IpAddr;

/// Gaps and damage that are kept to be told one by one.
const TOLD: usize = 1_000;

/// The dry run couldn't be made.
#[derive(Debug, thiserror::Error)]
#[error("the policy set can't be compiled with everybody who is known: {0}")]
pub struct AuditError(#[from] CompileError);

impl AuditError {
    /// The way out.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.0.help()
    }
}

/// A dry run under way.
pub struct Audit {
    pub(crate) setting: Setting,
    pub(crate) ground: Ground,
    pub(crate) ends: Ends,
    pub(crate) flows: Flows,
    pub(crate) groups: Groups,
    pub(crate) listeners: Listeners,
    /// Records that wait for the end of their recording.
    pub(crate) unsure: Vec<Held>,
    /// Flows that nothing but an ICMP error about them tells of; they were let come as if they opened.
    pub(crate) assumed: FxHashSet<Key>,
    pub(crate) repeats: Repeats,
    pub(crate) parts: Parts,
    pub(crate) cache: Cache,
    pub(crate) totals: Totals,
    pub(crate) window: Option<(Time, Time)>,
    /// Time of the packet before.
    pub(crate) now: Time,
    /// Packets since flows that are over were last looked for.
    pub(crate) unswept: usize,
    /// Instants at which policies end, ascending, nanoseconds since the epoch; and after how many of them the clock stands.
    expiries: Vec<u64>,
    pub(crate) past: usize,
    /// By workload: whether flows came from it, and whether some went to it.
    pub(crate) touched: Vec<(bool, bool)>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) sources: Vec<Source>,
    /// Which of them is being read.
    turn: usize,
    /// What nobody gave a name.
    unnamed: Source,
    failed: Option<CompileError>,
}

/// One recording of several.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// Time of its first packet.
    pub(crate) began: Option<Time>,
    /// The latest time of what came so far.
    last: Option<Time>,
    /// Packets and records that are earlier than one before them, and by how much at most.
    pub(crate) late: u64,
    pub(crate) latest: Time,
    pub(crate) window: Option<(Time, Time)>,
    pub(crate) packets: u64,
    pub(crate) records: u64,
    pub(crate) damaged: u64,
    pub(crate) notes: Vec<String>,
}

/// A distinct flow, for whoever wants them one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLine {
    /// Who opened it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Source and destination port, as the verdict function has them.
    pub ports: (u16, u16),
    /// IP protocol number.
    pub protocol: u8,
    /// The verdict on it, the last one; `None` where no hook would see it.
    pub ruling: Option<Ruling>,
    /// Packets in both directions.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// First and last packet.
    pub seen: Option<(Time, Time)>,
    /// Whether its opening is in the recording.
    pub opened: bool,
    /// Its place in [`Audit::flow_groups`].
    pub group: usize,
}

impl Audit {
    /// Compiles what is judged by.
    pub fn new(setting: Setting) -> Result<Self, AuditError> {
        let mut ground = Ground::new(&setting)?;
        let ends = Ends::new(&setting, &mut ground)?;
        let mut expiries: Vec<u64> =
            setting.set.policies.iter().filter_map(|policy| policy.expires).map(since_epoch).collect();
        expiries.sort_unstable();
        Ok(Self {
            setting,
            ground,
            ends,
            flows: Flows::default(),
            groups: Groups::default(),
            listeners: Listeners::default(),
            unsure: Vec::new(),
            assumed: FxHashSet::default(),
            repeats: Repeats::new(),
            parts: Parts::default(),
            cache: Cache::default(),
            totals: Totals::default(),
            window: None,
            now: 0,
            unswept: 0,
            expiries,
            past: 0,
            touched: Vec::new(),
            gaps: Vec::new(),
            damage: Vec::new(),
            sources: Vec::new(),
            turn: 0,
            unnamed: Source::default(),
            failed: None,
        })
    }

    /// What follows is of another recording. Its name is shown as it is given.
    pub fn begin(&mut self, name: impl Into<String>) {
        self.turn = self.sources.len();
        self.sources.push(Source { name: name.into(), ..Source::default() });
    }

    /// What follows is of the recording that was begun as this one, counted from 0.
    pub fn turn(&mut self, recording: usize) {
        self.turn = recording;
    }

    /// The recording has been read to its end. Takes what its reader counted and didn't hand on. Flows whose opener only the whole of a recording
    /// can tell are in no result before.
    pub fn end(&mut self, summary: &Summary) {
        self.settle();
        let source = self.source();
        let untold = summary.damaged.saturating_sub(source.damaged);
        source.notes.extend(summary.notes.iter().cloned());
        self.totals.damaged += untold;
    }

    /// When the recording that is being read began.
    pub(crate) fn began(&self) -> Option<Time> {
        self.sources.get(self.turn).unwrap_or(&self.unnamed).began
    }

    /// The recording that is being read.
    pub(crate) fn source(&mut self) -> &mut Source {
        self.sources.get_mut(self.turn).unwrap_or(&mut self.unnamed)
    }

    /// What came of it so far.
    pub fn report(&self) -> Result<Report, AuditError> {
        self.sound()?;
        Ok(Report::of(self))
    }

    /// What was counted so far: the report without what has to be looked for.
    pub fn totals(&self) -> Result<Totals, AuditError> {
        self.sound()?;
        Ok(self.counted())
    }

    /// Whether everybody whom the recording named found room in the tables.
    pub(crate) fn sound(&self) -> Result<(), AuditError> {
        match &self.failed {
            Some(error) => Err(AuditError(error.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn counted(&self) -> Totals {
        Totals { flows: self.flows.len() as u64, addresses: self.ends.len() as u64, ..self.totals.clone() }
    }

    /// Every distinct flow, in no order.
    pub fn flows(&self) -> impl Iterator<Item = FlowLine> {
        self.flows.iter().map(|(key, flow)| self.line(key, flow))
    }

    /// Every distinct flow by its times, then its ends. Beside what is kept anyway, this takes 24 bytes for each.
    pub fn flows_in_order(&self) -> impl Iterator<Item = FlowLine> {
        let first = |flow: &Flow| if flow.is(Flow::TIMED) { flow.first } else { Time::MIN };
        let line = |key: Key| self.flows.get(key).map(|flow| self.line(key, flow));
        let order = move |key: Key| {
            line(key).map(|line| (line.seen, line.source, line.destination, line.protocol, line.ports))
        };
        let mut keys: Vec<(Time, Key)> = self.flows.iter().map(|(key, flow)| (first(flow), key)).collect();
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| order(a.1).cmp(&order(b.1))));
        keys.into_iter().filter_map(move |(_, key)| line(key))
    }

    fn line(&self, key: Key, flow: &Flow) -> FlowLine {
        FlowLine {
            source: self.ends.get(key.source()).address,
            destination: self.ends.get(key.destination()).address,
            ports: key.ports(),
            protocol: key.protocol(),
            ruling: self.groups.all()[flow.group as usize].key.ruling,
            packets: flow.packets,
            bytes: flow.bytes,
            seen: flow.is(Flow::TIMED).then_some((flow.first, flow.last)),
            opened: flow.is(Flow::OPENED),
            group: flow.group as usize,
        }
    }

    /// The group of results, as the report has it, of each number that [`FlowLine::group`] may be.
    pub fn flow_groups(&self) -> Vec<crate::report::Group> {
        Report::groups_of(self)
    }

    /// Widens the window by some time.
    pub(crate) fn widen(&mut self, seen: Option<(Time, Time)>) {
        let Some((first, last)) = seen else { return };
        let wider = move |window: Option<(Time, Time)>| {
            let (from, to) = window.unwrap_or((first, last));
            Some((from.min(first), to.max(last)))
        };
        self.window = wider(self.window);
        let source = self.source();
        source.window = wider(source.window);
        let before = source.last.unwrap_or(last);
        if last < before {
            source.late += 1;
            source.latest = source.latest.max(before.saturating_sub(last));
        }
        source.last = Some(before.max(last));
    }

    /// Sets the clock that policies expire by, where the traffic's own time counts.
    pub(crate) fn set_boot(&mut self, time: Time) {
        if self.setting.at == At::Own {
            let boot = u64::try_from(time).unwrap_or(0);
            self.past = self.expiries.partition_point(|expiry| *expiry <= boot);
            self.ground.judge.set_boot(boot);
        }
    }

    /// The hooks on a path, with the tables as they have to be for both ends.
    pub(crate) fn path(&mut self, source: u32, destination: u32) -> Path {
        if let Err(error) = self.ends.settle([source, destination], &mut self.ground) {
            self.failed = Some(error);
        }
        self.hooks(source, destination)
    }

    pub(crate) fn hooks(&self, source: u32, destination: u32) -> Path {
        Path { egress: self.ends.get(source).hook, ingress: self.ends.get(destination).hook }
    }

    /// Counts packets of a flow under their ruling, and the flow itself where that is new. Returns the group.
    pub(crate) fn count(
        &mut self,
        key: Key,
        ruling: Option<Ruling>,
        flags: u8,
        packets: u64,
        bytes: u64,
        seen: Option<(Time, Time)>,
    ) -> u32 {
        let hint = self.flows.get(key).map(|flow| flow.group);
        let group = self.groups.of(key, ruling, hint, &self.ends);
        let (flow, fresh) = self.flows.entry(key, Flow::new(group, flags));
        let moved = flow.group != group;
        let opened = flags & Flow::OPENED != 0 && !flow.is(Flow::OPENED);
        flow.flags |= flags;
        flow.group = group;
        flow.count(packets, bytes, seen);
        let flags = flow.flags;
        if fresh || moved {
            self.groups.get(group).open(key, flags);
        } else if opened {
            // Its opening came late: captures of several processors are a little out of order.
            let group = self.groups.get(group);
            group.unopened = group.unopened.saturating_sub(1);
        }
        self.groups.get(group).count(packets, bytes, seen);
        if fresh {
            self.touch(key.source(), true);
            self.touch(key.destination(), false);
        }
        group
    }

    fn touch(&mut self, end: u32, from: bool) {
        let workload = self.ends.get(end).workload;
        if workload == NOBODY {
            return;
        }
        let at = workload as usize;
        if self.touched.len() <= at {
            self.touched.resize(at + 1, (false, false));
        }
        if from { self.touched[at].0 = true } else { self.touched[at].1 = true }
    }
}

impl Sink for Audit {
    fn take(&mut self, item: Item<'_>) {
        if self.failed.is_some() {
            return;
        }
        match item {
            Item::Packet(packet) => {
                self.source().packets += 1;
                self.packet(&packet);
            }
            Item::Flow(flow) => {
                self.source().records += 1;
                self.record(flow);
            }
            Item::Gap(gap) => {
                self.totals.gaps += 1;
                if self.gaps.len() < TOLD {
                    self.gaps.push(gap.clone());
                }
            }
            Item::Damage(damage) => {
                self.source().damaged += 1;
                self.totals.damaged += 1;
                if self.damage.len() < TOLD {
                    self.damage.push(damage.clone());
                }
            }
        }
    }
}

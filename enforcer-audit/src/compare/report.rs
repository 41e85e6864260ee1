//! Which recorded flows come out otherwise: what every output of that is made from.
//!
//! Serialised it is the field `flows` of `enforcer.diff/v1`. Fields are only ever added. All names are attacker-controlled text.

use super::Comparison;
use super::pairs::{Found, each};
use crate::audit::Audit;
use crate::flows::Flow;
use crate::groups::SAMPLES;
use crate::report::allow;
use crate::report::make::{self, add, word};
use crate::report::{
    CauseLine, Figures, GapLine, Group, Identity, Near, Report, Sample, SourceLine, Totals, Traffic,
    Verdicts, Window,
};
use enforcer_flows::Time;
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::cmp::Reverse;

/// What becomes of recorded flows.
#[derive(Clone, Debug, Serialize)]
pub struct FlowChanges {
    /// When policies were held against their expiry: an instant, or none where each packet's and record's own time counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// First and last time that the recording names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The recordings, as they were named.
    pub sources: Vec<SourceLine>,
    /// What was counted, as the new set's dry run has it.
    pub totals: Totals,
    /// Flows whose verdict stays, those with another cause among them.
    pub unchanged: Verdicts,
    /// Of those, flows that another rule or reason decides.
    pub cause_only: Figures,
    /// Flows whose verdict changes.
    pub changed: Changed,
    /// Flows of which packets pass by the old set and not by the new one: what would break.
    pub breaks: Figures,
    /// Flows of which packets pass by the new set and not by the old one.
    pub opens: Figures,
    /// Flows that only one of the sets has.
    pub one_sided: OneSided,
    /// Flows with the same ends, port, verdicts and causes: what is newly denied first, then newly audited, allowed, unjudged; each with the
    /// most flows first. Flows whose verdict stays are only counted.
    pub groups: Vec<FlowChange>,
    /// Times that the recording doesn't cover.
    pub gaps: Vec<GapLine>,
    /// What has to be known to read the rest right, for people.
    pub notes: Vec<String>,
}

/// Flows by what they become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// They are denied now.
    pub newly_denied: Figures,
    /// They are allowed now.
    pub newly_allowed: Figures,
    /// They are audited now, or audited as before but no longer let pass, or the other way round.
    pub newly_audited: Figures,
    /// No hook sees them any more.
    pub newly_unjudged: Figures,
}

/// Flows that only one of the sets has: ICMP errors count to the flow that they are about where that is denied, for then they wouldn't have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OneSided {
    /// The old one.
    pub old: Figures,
    /// The new one.
    pub new: Figures,
}

/// What a flow becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Denied.
    NewlyDenied,
    /// Audited.
    NewlyAudited,
    /// Allowed.
    NewlyAllowed,
    /// Judged by no hook.
    NewlyUnjudged,
}

impl Kind {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 4] =
        [Self::NewlyDenied, Self::NewlyAudited, Self::NewlyAllowed, Self::NewlyUnjudged];

    fn of(verdict: &str) -> Self {
        match verdict {
            "denied" => Self::NewlyDenied,
            "audited" => Self::NewlyAudited,
            "allowed" => Self::NewlyAllowed,
            _ => Self::NewlyUnjudged,
        }
    }
}

/// What one of the sets says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// `allowed`, `denied`, `audited` or `unjudged`.
    pub verdict: &'static str,
    /// Whether packets go on.
    pub passes: bool,
    /// Why; absent for what is unjudged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<CauseLine>,
}

/// Flows with the same ends, port, verdicts and causes.
#[derive(Clone, Debug, Serialize)]
pub struct FlowChange {
    /// What they become.
    pub change: Kind,
    /// Whether they pass by the old set and not by the new one.
    pub breaks: bool,
    /// The other way round.
    pub opens: bool,
    /// By the old set.
    pub old: Side,
    /// By the new set.
    pub new: Side,
    /// Who opened the flows, as the new set knows it.
    pub source: Identity,
    /// To whom, likewise.
    pub destination: Identity,
    /// Who that is to the old set, where it is somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_source: Option<Identity>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_destination: Option<Identity>,
    /// Where to, and how much.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// What would allow it in the new set, as an entry of a FlowPolicy's `flows`. Only for what is newly denied, and where a rule can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<String>,
    /// The new set's allow rule that comes nearest. Only for what is newly denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_miss: Option<Near>,
    /// What to do where no rule can allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// Flows of one group in each run.
#[derive(Default)]
struct Tally {
    figures: Figures,
    seen: Option<(Time, Time)>,
    unopened: u64,
    samples: Vec<Sample>,
    more_samples: bool,
}

impl Tally {
    fn count(&mut self, flow: &Flow, sample: Sample) {
        add(&mut self.figures, figures(flow));
        if flow.is(Flow::TIMED) {
            let (first, last) = self.seen.unwrap_or((flow.first, flow.last));
            self.seen = Some((first.min(flow.first), last.max(flow.last)));
        }
        self.unopened += u64::from(!flow.is(Flow::OPENED));
        if self.samples.contains(&sample) {
        } else if self.samples.len() < SAMPLES {
            self.samples.push(sample);
        } else {
            self.more_samples = true;
        }
    }
}

fn figures(flow: &Flow) -> Figures {
    Figures { flows: 1, packets: flow.packets, bytes: flow.bytes }
}

/// Everybody alike, whoever else was met.
fn is_same(a: &Identity, b: &Identity) -> bool {
    (a.kind, &a.labels) == (b.kind, &b.labels)
}

/// Where a rule is written isn't why it decides.
fn reason(group: &Group) -> Option<(Option<&str>, Option<&str>, Option<&str>)> {
    group.cause.as_ref().map(|cause| (cause.rule.as_deref(), cause.reason, cause.detail))
}

impl FlowChanges {
    pub(super) fn of(comparison: &Comparison) -> Self {
        let Comparison { old, new } = comparison;
        let (before, after) = (Report::groups_of(old), Report::groups_of(new));
        let mut unchanged = Verdicts::default();
        let (mut one_sided, mut cause_only) = (OneSided::default(), Figures::default());
        let mut tallies: FxHashMap<(u32, u32), Tally> = FxHashMap::default();
        each(old, new, |pair| {
            let (was, is) = match pair {
                (Some(was), Some(is)) => (was, is),
                (Some(Found { flow, .. }), None) => return add(&mut one_sided.old, figures(&flow)),
                (None, Some(Found { flow, .. })) => return add(&mut one_sided.new, figures(&flow)),
                (None, None) => return,
            };
            let groups = (&before[was.flow.group as usize], &after[is.flow.group as usize]);
            if (groups.0.verdict, groups.0.passes) != (groups.1.verdict, groups.1.passes) {
                let sample = |audit: &Audit, found: Found| Sample {
                    source: audit.ends.get(found.key.source()).address,
                    destination: audit.ends.get(found.key.destination()).address,
                };
                let tally = tallies.entry((was.flow.group, is.flow.group)).or_default();
                return tally.count(&is.flow, sample(new, is));
            }
            add(unchanged.of_mut(groups.1.verdict), figures(&is.flow));
            if reason(groups.0) != reason(groups.1) {
                add(&mut cause_only, figures(&is.flow));
            }
        });
        let mut numbered: Vec<((u32, u32), FlowChange)> = tallies
            .into_iter()
            .map(|(at, tally)| (at, change(&before[at.0 as usize], &after[at.1 as usize], tally)))
            .collect();
        numbered.sort_by_cached_key(|(at, group)| {
            (
                group.change,
                Reverse(group.traffic.figures.flows),
                group.traffic.protocol,
                group.traffic.port_number,
                *at,
            )
        });
        let (mut changed, mut breaks, mut opens) =
            (Changed::default(), Figures::default(), Figures::default());
        for (_, group) in &numbered {
            let to = match group.change {
                Kind::NewlyDenied => &mut changed.newly_denied,
                Kind::NewlyAllowed => &mut changed.newly_allowed,
                Kind::NewlyAudited => &mut changed.newly_audited,
                Kind::NewlyUnjudged => &mut changed.newly_unjudged,
            };
            add(to, group.traffic.figures);
            if group.breaks {
                add(&mut breaks, group.traffic.figures);
            }
            if group.opens {
                add(&mut opens, group.traffic.figures);
            }
        }
        let denied = numbered.iter().filter(|(_, group)| group.change == Kind::NewlyDenied);
        let asked: Vec<u32> = denied.map(|((_, group), _)| *group).collect();
        let (near, unasked) = make::nearest(new, &asked);
        for ((_, group), near) in numbered.iter_mut().zip(near) {
            group.nearest_miss = near;
        }
        let mut verdicts = unchanged;
        for (kind, figures) in [("denied", changed.newly_denied), ("unjudged", changed.newly_unjudged)] {
            add(verdicts.of_mut(kind), figures);
        }
        let mut notes = notes(new, &verdicts, &one_sided);
        make::note_unasked(unasked, &mut notes);
        Self {
            as_of: make::as_of(new),
            window: Window::of(new.window),
            sources: make::sources(new),
            totals: new.counted(),
            unchanged,
            cause_only,
            changed,
            breaks,
            opens,
            one_sided,
            groups: numbered.into_iter().map(|(_, group)| group).collect(),
            gaps: make::gaps(new),
            notes,
        }
    }

    /// Groups that become this.
    pub fn with(&self, kind: Kind) -> impl Iterator<Item = &FlowChange> {
        self.groups.iter().filter(move |group| group.change == kind)
    }
}

fn notes(new: &Audit, verdicts: &Verdicts, one_sided: &OneSided) -> Vec<String> {
    let mut notes = make::notes(new, verdicts);
    let flows = one_sided.old.flows + one_sided.new.flows;
    if flows > 0 {
        notes.push(format!(
            "flows that only one of the sets has: {flows}. ICMP errors about a flow that one set denies: with that set they wouldn't have come"
        ));
    }
    notes
}

fn side(group: &Group) -> Side {
    debug_assert_eq!(group.cause.is_none(), group.verdict == word(None));
    Side { verdict: group.verdict, passes: group.passes, cause: group.cause.clone() }
}

fn change(was: &Group, is: &Group, tally: Tally) -> FlowChange {
    let kind = Kind::of(is.verdict);
    let other = |was: &Identity, is: &Identity| (!is_same(was, is)).then(|| was.clone());
    let denied = kind == Kind::NewlyDenied;
    let allow =
        || allow::entry(&is.source, &is.destination, &is.traffic.port, &tally.samples, tally.more_samples);
    FlowChange {
        change: kind,
        breaks: was.passes && !is.passes,
        opens: !was.passes && is.passes,
        old: side(was),
        new: side(is),
        source: is.source.clone(),
        destination: is.destination.clone(),
        old_source: other(&was.source, &is.source),
        old_destination: other(&was.destination, &is.destination),
        allow: (denied && is.allow.is_some()).then(allow).flatten(),
        traffic: Traffic {
            port: is.traffic.port.clone(),
            protocol: is.traffic.protocol,
            port_number: is.traffic.port_number,
            figures: tally.figures,
            seen: Window::of(tally.seen),
            opening_not_seen: tally.unopened,
            samples: tally.samples,
            more_samples: tally.more_samples,
        },
        nearest_miss: None,
        hint: is.hint.filter(|_| denied),
    }
}

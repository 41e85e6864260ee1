//! From what was counted to the report.

use super::allow;
use super::near::{self, Question};
use super::{
    CauseLine, Coverage, DamageLine, Figures, GapLine, Group, Identity, Near, Recorded, Report, RuleUse,
    Sample, SourceLine, Traffic, Verdicts, Window,
};
use crate::audit::{Audit, Source};
use crate::ground::nobody_runs;
use crate::groups;
use crate::judge::Ruling;
use crate::setting::{At, Managed};
use crate::suggest::Universe;
use enforcer_common::{Reason, Word};
use enforcer_flows::Time;
use enforcer_policy::explain::port_text;
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;

/// Denied groups for which the nearest rule is looked for; beyond them nobody reads.
const ASKED: usize = 200;

pub(crate) fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::from_nanosecond(i128::from(time)).ok()
}

impl Window {
    /// `None` where there are no times, or none of this calendar.
    pub fn of(seen: Option<(Time, Time)>) -> Option<Self> {
        let (first, last) = seen?;
        Some(Self { first: timestamp(first)?, last: timestamp(last)? })
    }
}

fn figures(group: &groups::Group) -> Figures {
    Figures { flows: group.flows, packets: group.packets, bytes: group.bytes }
}

pub(crate) fn add(to: &mut Figures, more: Figures) {
    to.flows += more.flows;
    to.packets += more.packets;
    to.bytes += more.bytes;
}

pub(crate) fn word(ruling: Option<Ruling>) -> &'static str {
    ruling.map_or("unjudged", |ruling| ruling.word.word())
}

/// Denied before audited before allowed before unjudged.
fn rank(ruling: Option<Ruling>) -> u8 {
    match ruling.map(|ruling| ruling.word) {
        Some(Word::Denied) => 0,
        Some(Word::Audited) => 1,
        Some(Word::Allowed) => 2,
        None => 3,
    }
}

/// Whether a rule could have another verdict come out.
pub(crate) fn is_liftable(reason: Reason) -> bool {
    matches!(reason, Reason::NoRule | Reason::Protocol | Reason::Encapsulated | Reason::Multicast)
}

/// Packets that couldn't be read as far as their ports.
fn is_unread(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Short
            | Reason::Malformed
            | Reason::Vlan
            | Reason::IpOption
            | Reason::ExtensionHeaders
            | Reason::RoutingHeader
            | Reason::FragmentTiny
            | Reason::FragmentHeader
            | Reason::TcpFlags
    )
}

/// What helps against a denial that no rule can lift.
fn hint(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::State => {
            "no packet that opens this flow was seen, and the recording was said to hold all of them"
        }
        Reason::Vlan => {
            "a tagged frame is denied at a workload's own device; for captures from a trunk or a mirror port, take the tags off (--untag)"
        }
        Reason::SpoofedSource | Reason::ForeignDestination => {
            "add the address to the Workload's `addresses`, if it is its own"
        }
        Reason::Martian => "addresses like these (a DHCP client's 0.0.0.0, loopback) never pass a hook",
        Reason::Malformed | Reason::Short => {
            "the packet contradicts itself; in captures made on its sender, checksums may be left to the device"
        }
        Reason::FlowQuota => "the workload opened more unanswered flows within 2 s than it may",
        Reason::RelatedUnknown => "the ICMP error is about a flow that isn't open",
        _ => return None,
    })
}

impl Report {
    pub(crate) fn of(audit: &Audit) -> Self {
        let mut groups: Vec<(usize, Group)> = Self::groups_of(audit).into_iter().enumerate().collect();
        let all = audit.groups.all();
        let order = |(index, group): &(usize, Group)| {
            let key = &all[*index].key;
            let breaks = group.change == Some("breaks");
            (rank(key.ruling), !breaks, Reverse(group.traffic.figures.flows), key.protocol, key.port, *index)
        };
        groups.sort_by_cached_key(order);
        let order: Vec<u32> = groups.iter().map(|(index, _)| *index as u32).collect();
        let (near, unasked) = nearest(audit, &order);
        for ((_, group), near) in groups.iter_mut().zip(near) {
            group.nearest_miss = near;
        }
        let mut verdicts = Verdicts::default();
        for (_, group) in &groups {
            add(verdicts.of_mut(group.verdict), group.traffic.figures);
        }
        let damage = audit.damage.iter();
        let mut notes = notes(audit, &verdicts);
        note_unasked(unasked, &mut notes);
        Self {
            schema: "enforcer.audit/v1",
            as_of: as_of(audit),
            window: Window::of(audit.window),
            sources: sources(audit),
            notes,
            totals: audit.counted(),
            verdicts,
            rules: rules(audit),
            workloads: coverage(audit),
            gaps: gaps(audit),
            damage: damage.map(|one| DamageLine { place: one.place, what: one.what.clone() }).collect(),
            groups: groups.into_iter().map(|(_, group)| group).collect(),
        }
    }

    /// Groups in the order in which they came up, without their nearest misses.
    pub(crate) fn groups_of(audit: &Audit) -> Vec<Group> {
        let identities = identities(audit);
        audit.groups.all().iter().map(|group| line(audit, &identities, group)).collect()
    }
}

pub(crate) fn as_of(audit: &Audit) -> Option<Timestamp> {
    match audit.setting.at {
        At::Instant(at) => Some(at),
        At::Own => None,
    }
}

pub(crate) fn sources(audit: &Audit) -> Vec<SourceLine> {
    let line = |source: &Source| {
        let Source { name, packets, records, late, .. } = source;
        let window = Window::of(source.window);
        SourceLine { name: name.clone(), window, packets: *packets, records: *records, late: *late }
    };
    audit.sources.iter().map(line).collect()
}

pub(crate) fn gaps(audit: &Audit) -> Vec<GapLine> {
    let gaps = audit.gaps.iter().map(|gap| GapLine {
        first: gap.start.and_then(timestamp),
        last: gap.end.and_then(timestamp),
        of: gap.of.clone(),
        word: gap.word,
        missing: gap.missing,
    });
    gaps.collect()
}

/// For groups by number, in their order: the rule that comes nearest to allowing those that are denied and could be allowed.
/// And of how many it wasn't looked for.
pub(crate) fn nearest(audit: &Audit, groups: &[u32]) -> (Vec<Option<Near>>, usize) {
    let all = audit.groups.all();
    let liftable = |group: u32| {
        let ruling = all[group as usize].key.ruling.filter(|ruling| ruling.word == Word::Denied);
        ruling.is_some_and(|ruling| ruling.cause.as_reason().is_none_or(is_liftable))
    };
    let mut asked: Vec<usize> = (0..groups.len()).filter(|at| liftable(groups[*at])).collect();
    let unasked = asked.len().saturating_sub(ASKED);
    asked.truncate(ASKED);
    let questions: Vec<Question> = asked
        .iter()
        .map(|at| {
            let group = &all[groups[*at] as usize];
            let (from, to) = group.samples[0];
            let end = |end| near::endpoint(audit.ends.get(end), &audit.ground);
            (end(from), end(to), group.key.protocol, group.key.port)
        })
        .collect();
    let mut found = vec![None; groups.len()];
    for (at, near) in asked.iter().zip(near::misses(&audit.ground, &questions)) {
        found[*at] = near;
    }
    (found, unasked)
}

/// Says so where the nearest rule wasn't looked for everywhere.
pub(crate) fn note_unasked(unasked: usize, notes: &mut Vec<String>) {
    if unasked > 0 {
        notes.push(format!(
            "denied groups without their nearest rule: {unasked}. It is looked for in the first {ASKED} of them; `enforcer explain` tells it of any flow"
        ));
    }
}

/// Everybody who was met, with the selectors that mean them.
fn identities(audit: &Audit) -> Vec<Identity> {
    let universe = Universe::of(audit);
    let told =
        |identity: &Identity| Identity { selector: universe.only(&identity.labels), ..identity.clone() };
    audit.ends.identities().iter().map(told).collect()
}

fn line(audit: &Audit, identities: &[Identity], group: &groups::Group) -> Group {
    let key = &group.key;
    let (source, destination) =
        (identities[key.source as usize].clone(), identities[key.destination as usize].clone());
    let reason = key.ruling.and_then(|ruling| ruling.cause.as_reason());
    let unread = reason.is_some_and(is_unread) && key.port == 0;
    let ported = matches!(key.protocol, 1 | 6 | 17 | 58 | 132) && !unread;
    let port = if ported || !matches!(key.protocol, 1 | 6 | 17 | 58 | 132) {
        port_text(key.protocol, key.port)
    } else {
        enforcer_policy::model::PortSpec::Protocol(key.protocol).to_string()
    };
    let word = word(key.ruling);
    let passes = key.ruling.is_none_or(|ruling| ruling.passes);
    let samples: Vec<Sample> = group
        .samples
        .iter()
        .map(|(from, to)| Sample {
            source: audit.ends.get(*from).address,
            destination: audit.ends.get(*to).address,
        })
        .collect();
    let denied = key.ruling.is_some_and(|ruling| ruling.word == Word::Denied);
    let recorded = Recorded { passed: group.passed, refused: group.refused };
    let change = match key.ruling {
        Some(_) if !passes && recorded.passed > 0 => Some("breaks"),
        Some(_) if passes && recorded.refused > 0 => Some("opens"),
        _ => None,
    };
    let allow = (denied && reason.is_some_and(is_liftable))
        .then(|| allow::entry(&source, &destination, &port, &samples, group.more_samples));
    Group {
        verdict: word,
        passes,
        cause: key.ruling.map(|ruling| cause(audit, ruling)),
        traffic: Traffic {
            port,
            protocol: key.protocol,
            port_number: ported.then_some(key.port),
            figures: figures(group),
            seen: Window::of(group.seen),
            opening_not_seen: group.unopened,
            samples,
            more_samples: group.more_samples,
        },
        recorded,
        change,
        allow: allow.flatten(),
        nearest_miss: None,
        hint: reason.filter(|_| denied).and_then(hint),
        source,
        destination,
    }
}

fn cause(audit: &Audit, ruling: Ruling) -> CauseLine {
    if let Some(rule) = ruling.cause.as_rule().and_then(|number| audit.ground.compiled.rule(number)) {
        return CauseLine {
            rule: Some(rule.name()),
            file: Some(rule.origin.file.to_string()),
            line: Some(rule.origin.line),
            why: rule.why.clone(),
            ..CauseLine::default()
        };
    }
    let reason = ruling.cause.as_reason();
    let detail = reason.map(Reason::detail).filter(|detail| reason.map(Reason::word) != Some(*detail));
    CauseLine { reason: reason.map(Reason::word), detail, ..CauseLine::default() }
}

fn rules(audit: &Audit) -> Vec<RuleUse> {
    let mut used: FxHashMap<(&str, usize), Figures> = FxHashMap::default();
    for group in audit.groups.all() {
        let number = group.key.ruling.and_then(|ruling| ruling.cause.as_rule());
        if let Some(rule) = number.and_then(|number| audit.ground.compiled.rule(number)) {
            add(used.entry((&rule.policy, rule.index)).or_default(), figures(group));
        }
    }
    let ended = |expires: Timestamp| match audit.setting.at {
        At::Instant(at) => at >= expires,
        At::Own => audit.window.and_then(|(first, _)| timestamp(first)).is_some_and(|first| first >= expires),
    };
    let policies = audit.ground.set.policies.iter();
    policies
        .flat_map(|policy| policy.flows.iter().enumerate().map(move |(index, entry)| (policy, index, entry)))
        .map(|(policy, index, entry)| RuleUse {
            rule: format!("{}#{index}", policy.name),
            file: entry.origin.file.to_string(),
            line: entry.origin.line,
            action: entry.action.word(),
            mode: policy.mode.word(),
            expired: policy.expires.is_some_and(ended),
            figures: used.get(&(policy.name.as_str(), index)).copied().unwrap_or_default(),
        })
        .collect()
}

fn coverage(audit: &Audit) -> Vec<Coverage> {
    let touched = |index: usize| audit.touched.get(index).copied().unwrap_or_default();
    let workloads = audit.ground.set.workloads.iter().take(audit.ends.documented()).enumerate();
    workloads
        .map(|(index, workload)| {
            let written = !workload.origin.file.is_empty();
            let (opened, reached) = touched(index);
            Coverage {
                workload: workload.name.clone(),
                labels: workload.labels.clone(),
                file: written.then(|| workload.origin.file.to_string()),
                line: written.then_some(workload.origin.line),
                managed: audit.ground.hook(index as u32) != 0,
                opened,
                reached,
            }
        })
        .collect()
}

/// What a reader has to know.
pub(crate) fn notes(audit: &Audit, verdicts: &Verdicts) -> Vec<String> {
    let totals = &audit.totals;
    let mut notes = Vec::new();
    if audit.setting.managed == Managed::AsDeployed && nobody_runs(&audit.setting) {
        notes.push(
            "no Workload says where it runs (`match`), so each is judged as if the enforcer ran on its host"
                .to_owned(),
        );
    }
    let mut say = |number: u64, what: &str, why: &str| {
        if number > 0 {
            notes.push(format!("{what}: {number}. {why}"));
        }
    };
    say(
        verdicts.unjudged.flows,
        "unjudged flows",
        "Neither end is a managed workload, so no hook would see them. Workloads are known by the `addresses` of their documents or by an --inventory; \
         --all-managed gives a hook to those without a match as well",
    );
    say(
        audit.groups.all().iter().map(|group| group.unopened).sum(),
        "flows that were open before the recording began",
        "They are judged as if they opened in it, by the end that services and ports make likely",
    );
    say(
        totals.repeated,
        "packets captured twice",
        "The same bytes within 2 ms, as on two devices: they count once; --keep-repeats counts both",
    );
    say(
        totals.truncated,
        "packets cut off by the snap length",
        "Headers that the verdict asks for are missing: not judged",
    );
    say(totals.unreadable, "packets too short to say between whom they go", "They are not judged");
    say(
        totals.not_ip,
        "frames that are neither IP nor ARP",
        "Whose hook they would meet can't be told: not judged",
    );
    if !audit.setting.untag {
        say(
            totals.tagged,
            "frames with a VLAN tag",
            "They are judged with it; for captures from a trunk or a mirror port, --untag takes it off",
        );
    }
    say(
        totals.seen_at_both_ends,
        "records of a flow at its second end",
        "Their packets and bytes count once",
    );
    say(
        totals.openers_inferred,
        "records that don't say who opened the flow",
        "It is inferred from flows that are known and from ports",
    );
    say(
        totals.icmp_assumed,
        "records of ICMP that don't say which message",
        "They are judged as echo requests",
    );
    say(
        totals.icmp_errors,
        "records of ICMP errors",
        "They belong to flows that they don't name: not judged",
    );
    for source in &audit.sources {
        notes.extend(source.notes.iter().map(|note| format!("{}: {note}", source.name)));
    }
    for source in audit.sources.iter().filter(|source| source.packets > 0 && source.late > 0) {
        notes.push(format!(
            "{}: packets out of order: {}, by up to {} ms. They are judged as they come",
            source.name,
            source.late,
            source.latest.unsigned_abs().div_ceil(1_000_000)
        ));
    }
    notes
}

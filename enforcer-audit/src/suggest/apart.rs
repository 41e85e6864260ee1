//! What a person has to judge: scans, probes that nobody answered, ports that may be a client's.

use super::targets::{CLIENTS, Class, Seen, Sorted, Target};
use crate::audit::Audit;
use crate::opener::EPHEMERAL;
use rustc_hash::{FxHashMap, FxHashSet};

/// Why no rule is made for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// Its source tried many addresses or ports.
    Scan,
    /// Nobody answered.
    Unanswered,
    /// Its port may be a client's.
    ClientPort,
    /// The recording system refused it.
    Refused,
    /// An existing rule denies it.
    Forbidden,
    /// An end's labels are none that a document can carry.
    Labels,
    /// Denied for this reason, whatever the rules.
    NoRuleHelps(&'static str),
    /// No hook would see it.
    NoHook,
}

impl Why {
    /// Whether it is for a person to judge, rather than only to know.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Scan | Self::Unanswered | Self::ClientPort)
    }

    /// The heading, for people.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Scan => "its source tried many addresses or ports, with little or no answer: a scan?",
            Self::Unanswered => "nobody answered: a probe, or a service that was down?",
            Self::ClientPort => {
                "the port is one that clients get for a while, and nothing shows that a service takes connections there"
            }
            Self::Refused => "the recording system refused it",
            Self::Forbidden => "a rule of the policies given denies it",
            Self::Labels => "labels that no document can carry tell an end from others: no selector means exactly it",
            Self::NoRuleHelps(reason) => return format!("denied whatever the rules: {reason}"),
            Self::NoHook => "neither end is a workload that is known: no hook would see it",
        }
        .to_owned()
    }
}

/// So many targets with hardly an answer make a scan.
const SCAN: usize = 16;

/// Packets of a connection that carried nothing: SYN, SYN with ACK, ACK, RST.
const EMPTY: u64 = 4;

/// What is told apart, by target.
pub(super) struct Judgement {
    told: bool,
    /// Distinct ports, by source and destination.
    ports: FxHashMap<(u32, u32), usize>,
    scanners: FxHashSet<u32>,
    /// Who reached whom at which port with an answer, from whichever address.
    answered: FxHashSet<Class>,
    packets: FxHashMap<Class, u64>,
    services: FxHashSet<(u32, u8, u16)>,
}

impl Judgement {
    pub(super) fn of(audit: &Audit, sorted: &Sorted, class: impl Fn(&Target) -> Class) -> Self {
        let all = || sorted.candidates.iter();
        let mut ports: FxHashMap<(u32, u32), usize> = FxHashMap::default();
        for (target, _) in all() {
            *ports.entry((target.source, target.destination)).or_default() += 1;
        }
        let mut scanners = FxHashSet::default();
        let mut told = false;
        // Scans hide whether records of this kind tell of answers: without them it is asked once more.
        for _ in 0..2 {
            let mut tally: FxHashMap<u32, (usize, usize)> = FxHashMap::default();
            told = tells(sorted.told_before, all().filter(|(target, _)| !scanners.contains(&target.source)));
            for (target, seen) in all() {
                let (slight, total) = tally.entry(target.source).or_default();
                *slight += usize::from(is_slight(target, seen, told, &ports));
                *total += 1;
            }
            let scans = |(slight, total): (usize, usize)| slight >= SCAN && slight * 2 > total;
            scanners.extend(tally.into_iter().filter(|(_, tally)| scans(*tally)).map(|(source, _)| source));
        }
        let mut judgement = Self {
            told,
            ports,
            scanners,
            answered: FxHashSet::default(),
            packets: FxHashMap::default(),
            services: FxHashSet::default(),
        };
        for (target, seen) in all() {
            let class = class(target);
            if seen.answered {
                judgement.answered.insert(class);
            }
            *judgement.packets.entry(class).or_default() += seen.evidence.packets;
            let at = (target.destination, target.protocol, target.port);
            if seen.clients() >= CLIENTS || audit.listeners.has(at.0, at.1, at.2) {
                judgement.services.insert(at);
            }
        }
        judgement
    }

    /// Why a person has to judge it; `None` where a rule may be made.
    pub(super) fn why(&self, target: &Target, seen: &Seen, class: &Class) -> Option<Why> {
        if self.scanners.contains(&target.source) && is_slight(target, seen, self.told, &self.ports) {
            return Some(Why::Scan);
        }
        let told = seen.captured || self.told;
        if told && !self.answered.contains(class) {
            let asks = match target.protocol {
                6 | 132 => true,
                1 => matches!(target.port >> 8, 8 | 13 | 15 | 17),
                58 => target.port >> 8 == 128,
                // What is only told and never asked is told more than once.
                _ => self.packets.get(class).is_some_and(|packets| *packets <= 1),
            };
            if asks {
                return Some(Why::Unanswered);
            }
        }
        let at = (target.destination, target.protocol, target.port);
        let ported = matches!(target.protocol, 6 | 17 | 132);
        (ported && target.port >= EPHEMERAL && !self.services.contains(&at)).then_some(Why::ClientPort)
    }
}

/// Whether records tell of answers: most of those of TCP do, where any do. What is captured always does.
fn tells<'a>(before: (u64, u64), targets: impl Iterator<Item = (&'a Target, &'a Seen)>) -> bool {
    let (mut answered, mut total) = before;
    for (_, seen) in targets.filter(|(target, seen)| target.protocol == 6 && !seen.captured) {
        answered += u64::from(seen.replied);
        total += 1;
    }
    total > 0 && answered * 2 >= total
}

/// Hardly a flow: no answer, or nothing said after it. Where answers aren't told, only many ports at one address tell.
fn is_slight(target: &Target, seen: &Seen, told: bool, ports: &FxHashMap<(u32, u32), usize>) -> bool {
    // What doesn't count packets says nothing about their number.
    let short = (1..=EMPTY * seen.evidence.flows).contains(&seen.evidence.packets);
    if told || seen.captured {
        return if target.protocol == 6 { short || !seen.answered } else { short && !seen.answered };
    }
    short && ports.get(&(target.source, target.destination)).is_some_and(|ports| *ports >= SCAN)
}

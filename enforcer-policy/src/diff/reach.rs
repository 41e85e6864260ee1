//! What becomes of flows between two endpoints, port by port.

use crate::compile::{Compiled, Standing};
use crate::model::SegmentMode;
use enforcer_common::answer::{Answer, Decision, PortSet};
use enforcer_common::maps::{Direction, PairKey};
use rustc_hash::FxHashMap;

/// What becomes of a flow on its whole path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// Nobody judges it: the set has no workload with a hook.
    Unjudged,
    /// It is dropped.
    Denied,
    /// It is dropped, and audited policies would let it pass.
    AuditedDropped,
    /// It passes, and is reported as `audited`.
    Audited,
    /// It passes.
    Allowed,
}

impl Reach {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unjudged => "not judged",
            Self::Denied => "denied",
            Self::AuditedDropped => "audited (dropped)",
            Self::Audited => "audited",
            Self::Allowed => "allowed",
        }
    }
}

/// A range of `protocol << 16 | port` with one outcome, and the rule that decides it.
pub(crate) type Stretch = (u32, Reach, Option<u32>);

/// One past the last `protocol << 16 | port`.
pub(crate) const END: u32 = 1 << 24;

/// A set's pair table, to look things up in.
pub(crate) struct Reaches<'a> {
    compiled: &'a Compiled,
    pairs: FxHashMap<PairKey, PortSet>,
    boot_ns: u64,
}

impl<'a> Reaches<'a> {
    pub(crate) fn new(compiled: &'a Compiled, boot_ns: u64) -> Self {
        Self { compiled, pairs: compiled.image.pairs.iter().copied().collect(), boot_ns }
    }

    /// The outcome from port 0 on: where it begins, what it is. `None` where neither end has a hook.
    pub(crate) fn between(&self, from: &Standing, to: &Standing) -> Option<Vec<Stretch>> {
        let answers = self.answers(from, to)?;
        let mut stretches: Vec<Stretch> = Vec::with_capacity(answers.len());
        for (start, enforced, full) in answers {
            let (reach, answer) = judge(enforced, full, [from.mode, to.mode]);
            let rule = (!answer.is_none()).then(|| answer.rule());
            if stretches.last().is_none_or(|(_, before, by)| (*before, *by) != (reach, rule)) {
                stretches.push((start, reach, rule));
            }
        }
        Some(stretches)
    }

    /// What the rules say from port 0 on: where it begins, the enforced answer, and the one with audited policies. `None` where
    /// neither end has a hook.
    pub(crate) fn answers(&self, from: &Standing, to: &Standing) -> Option<Vec<(u32, Answer, Answer)>> {
        // Groups are judged at whatever hook takes their packets.
        let (direction, subject, peer) = match (from.mode, to.mode, to.multicast) {
            (Some(_), _, _) => (Direction::Egress, from, to),
            (None, Some(_), _) | (None, None, true) => (Direction::Ingress, to, from),
            (None, None, false) => return None,
        };
        let mut sets = Vec::with_capacity(4);
        for own in [subject.class, subject.coarse] {
            for other in [peer.class, peer.coarse] {
                if let (true, Some(set)) =
                    (own != 0 && other != 0, self.pairs.get(&PairKey::new(0, direction, own, other)))
                {
                    sets.push(
                        &self.compiled.image.intervals[set.first as usize..(set.first + set.len) as usize],
                    );
                }
            }
        }
        let mut starts: Vec<u32> = sets.iter().flat_map(|set| set.iter().map(|point| point.start)).collect();
        starts.push(0);
        // What reaches to the last port ends behind it, where there is none.
        starts.retain(|start| *start < END);
        starts.sort_unstable();
        starts.dedup();
        let at = |start: u32| {
            let (mut enforced, mut full) = (Answer::NONE, Answer::NONE);
            for set in &sets {
                let at = set.partition_point(|point| point.start <= start);
                let decision = self.now(set[at - 1].decision);
                enforced = enforced.first(decision.enforced);
                full = full.first(decision.full);
            }
            (start, enforced, full)
        };
        Some(starts.into_iter().map(at).collect())
    }

    fn now(&self, index: u32) -> Decision {
        let mut decision = self.compiled.image.decisions[index as usize];
        while self.boot_ns >= decision.deadline {
            decision = self.compiled.image.decisions[decision.next as usize];
        }
        decision
    }
}

/// Both answers at the hooks of a path.
fn judge(enforced: Answer, full: Answer, modes: [Option<SegmentMode>; 2]) -> (Reach, Answer) {
    let (rules, cause) = match (enforced.allows(), full.allows()) {
        (true, true) => (Reach::Allowed, enforced),
        (false, false) => (Reach::Denied, enforced),
        (true, false) => (Reach::Audited, full),
        (false, true) => (Reach::AuditedDropped, full),
    };
    let hooks: Vec<Reach> = modes
        .into_iter()
        .flatten()
        .map(|mode| match (mode, rules) {
            (SegmentMode::Off, _) => Reach::Allowed,
            (SegmentMode::Audit, Reach::Denied | Reach::AuditedDropped) => Reach::Audited,
            _ => rules,
        })
        .collect();
    // The hook that is strictest decides; without one (a group that nobody hooked has joined), the rules do.
    (hooks.into_iter().min().unwrap_or(rules), cause)
}

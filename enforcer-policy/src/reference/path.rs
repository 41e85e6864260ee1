//! From the rules' answer to a hook's verdict, and from hooks to a whole path.

use super::{Direction, End, Identity, Place, Reason, Verdict, Word, World, selects};
use crate::model::{SegmentMode, Workload, WorkloadMatch};

/// What happens to a new flow on its whole path.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathVerdict<'a> {
    /// All hooks together.
    pub verdict: Verdict<'a>,
    /// The source's own hook, where it has one.
    pub egress: Option<Verdict<'a>>,
    /// The destination's own hook, where it has one and the flow gets there.
    pub ingress: Option<Verdict<'a>>,
}

/// Whether this build enforces at the workload's boundary: by interface, unit and cgroup, not by a container's labels alone.
pub fn has_hook(workload: &Workload) -> bool {
    workload.matches.iter().any(|entry| !matches!(entry, WorkloadMatch::Container { .. }))
}

impl<'a> World<'a> {
    /// The strictest mode of all segments that select `workload`, by its labels or any of its addresses.
    pub fn mode(&self, workload: &Workload) -> SegmentMode {
        let mut ends = Vec::new();
        for address in &workload.addresses {
            ends.push(End { identity: Identity::Workload(workload), place: Place::At(*address) });
        }
        if ends.is_empty() {
            ends.push(End { identity: Identity::Workload(workload), place: Place::Somewhere(None) });
        }
        let mut strictest = None;
        for segment in &self.set.segments {
            if ends.iter().any(|end| selects(&segment.select, end, self.now))
                && Some(segment.mode) > strictest
            {
                strictest = Some(segment.mode);
            }
        }
        strictest.unwrap_or(self.default_mode)
    }

    /// What `subject`'s mode makes of a verdict reached at its hook.
    pub fn apply_mode(&self, subject: &Workload, verdict: Verdict<'a>) -> Verdict<'a> {
        match self.mode(subject) {
            SegmentMode::Enforce => verdict,
            SegmentMode::Audit if verdict.passes => verdict,
            SegmentMode::Audit => Verdict { word: Word::Audited, passes: true, cause: verdict.cause },
            SegmentMode::Off => Verdict::allowed(Reason::SegmentOff),
        }
    }

    /// The verdict of `subject`'s hook on a new flow: `Egress` where the subject opens it to `peer`, `Ingress` where
    /// `peer` opens it to the subject.
    pub fn judge_hook(
        &self,
        subject: &'a Workload,
        place: Place,
        direction: Direction,
        peer: &End<'_>,
        protocol: u8,
        port: u16,
    ) -> Verdict<'a> {
        let own = End { identity: Identity::Workload(subject), place };
        let answer = match direction {
            Direction::Egress => self.decide(&own, peer, protocol, port),
            Direction::Ingress => self.decide(peer, &own, protocol, port),
        };
        self.apply_mode(subject, answer.verdict)
    }

    /// The verdict on a new flow from `from` to `to`, by every hook on its path.
    ///
    /// The first hook that drops it decides; else the first that reports `audited`; else the first that is not
    /// `off`. Where neither end has a hook, the rules' answer stands.
    pub fn judge_path(&self, from: &End<'a>, to: &End<'a>, protocol: u8, port: u16) -> PathVerdict<'a> {
        let egress = match from.identity {
            Identity::Workload(subject) if has_hook(subject) => {
                Some(self.judge_hook(subject, from.place, Direction::Egress, to, protocol, port))
            }
            _ => None,
        };
        if let Some(verdict) = egress
            && !verdict.passes
        {
            return PathVerdict { verdict, egress, ingress: None };
        }
        let ingress = match to.identity {
            Identity::Workload(subject) if has_hook(subject) => {
                Some(self.judge_hook(subject, to.place, Direction::Ingress, from, protocol, port))
            }
            _ => None,
        };
        let hooks: Vec<Verdict<'a>> = egress.into_iter().chain(ingress).collect();
        let off = Verdict::allowed(Reason::SegmentOff);
        let verdict = hooks
            .iter()
            .find(|verdict| !verdict.passes)
            .or_else(|| hooks.iter().find(|verdict| verdict.word == Word::Audited))
            .or_else(|| hooks.iter().find(|verdict| **verdict != off))
            .or(hooks.first())
            .copied()
            .unwrap_or_else(|| self.decide(from, to, protocol, port).verdict);
        PathVerdict { verdict, egress, ingress }
    }
}

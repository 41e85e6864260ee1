//! Nobody is locked out: a change that would cut the session it is asked for from is refused.

use super::cgroups::Cgroups;
use super::connections::{Seat, seats};
use crate::daemon::clock::Instants;
use crate::daemon::failsafe;
use crate::daemon::session::Session;
use crate::pipeline::Surroundings;
use crate::protocol::Finding;
use crate::verdicts::inputs;
use enforcer_common::maps::Subject;
use enforcer_policy::compile::Compiled;
use enforcer_policy::explain::{End, Explainer, Path, Who};
use enforcer_policy::model::{Endpoint, Failsafe, PolicySet, SegmentMode, WorkloadMatch};

/// IP protocol number of TCP.
const TCP: u8 = 6;

/// The sessions among these that the set would cut, each with why. `old` is what is in force.
pub(super) fn cut(
    sessions: &[Session],
    (set, compiled): (&PolicySet, &Compiled),
    around: &Surroundings,
    old: Option<&Compiled>,
    failsafe: &[Failsafe],
    cgroups: &Cgroups,
) -> Vec<Finding> {
    if sessions.is_empty() {
        return Vec::new();
    }
    let now = Instants::now();
    let seats = seats(sessions, cgroups, compiled);
    let ends: Vec<_> = sessions
        .iter()
        .zip(&seats)
        .map(|(session, seats)| {
            [(session.client, true), (session.server, false)]
                .map(|(end, client)| who(seats, client, compiled).unwrap_or(Endpoint::Address(end.ip())))
        })
        .collect();
    let mut explainer = Explainer::new(inputs(set, around, now), compiled);
    let mut found = Vec::new();
    for ((session, seats), [from, to]) in sessions.iter().zip(&seats).zip(&ends) {
        for path in explainer.paths(from, to, TCP, session.server.port()) {
            // What the kernel knows to be open is taken up, by whoever has the socket.
            let seen = !seats.is_empty();
            if let Some(why) = ends_by(&path, old, seen).or_else(|| {
                let kept = failsafe::keeps(failsafe, session);
                ends_at_host(&path, compiled, old, seen).filter(|_| !kept)
            }) {
                let message = format!(
                    "this would cut your own session from {} to {}: {why}",
                    session.client, session.server
                );
                found.push(
                    Finding::placeless("error", message).help("allow it, or repeat this with `--force`"),
                );
            }
        }
    }
    found
}

/// The workload that has a session's socket, where it is known by its cgroup: its address says that it is the machine.
fn who(seats: &[Seat], client: bool, compiled: &Compiled) -> Option<Endpoint> {
    let seat = seats.iter().find(|seat| seat.client == client)?;
    let plan = compiled.subjects.iter().find(|plan| Subject::hosted(plan.identity) == seat.owner)?;
    Some(Endpoint::Workload(plan.workload.clone()))
}

/// Why a session on this path ends, if it does.
fn ends_by(path: &Path<'_>, old: Option<&Compiled>, seen: bool) -> Option<String> {
    let hooks = [(&path.from, &path.egress), (&path.to, &path.ingress)];
    for (end, verdict) in hooks {
        let Some(verdict) = verdict else { continue };
        if !verdict.passes {
            return Some(format!("denied at the hook of {end} by {}", verdict.cause));
        }
        // What a hook didn't see begin is out of state there.
        let taken_up = seen && is_hosted(end);
        if !taken_up
            && !was_judged(end, old)
            && verdict.word == enforcer_common::Word::Allowed
            && judges(verdict)
        {
            return Some(format!("{end} is judged from then on, and its connections have to be opened anew"));
        }
    }
    None
}

/// The same of the machine itself, which isn't among the hooks that a path shows.
fn ends_at_host(path: &Path<'_>, compiled: &Compiled, old: Option<&Compiled>, seen: bool) -> Option<String> {
    let is_end = path.from.who == Who::Host || path.to.who == Who::Host;
    if !is_end || compiled.host.mode != SegmentMode::Enforce {
        return None;
    }
    if !path.verdict.passes {
        return Some(format!("the host is held, and the flow is denied by {}", path.verdict.cause));
    }
    let known = seen || old.is_some_and(|old| old.host.mode != SegmentMode::Off);
    (!known).then(|| "the host is held from then on, and its connections have to be opened anew".to_owned())
}

/// Whether it is judged, rather than let through by its mode.
fn judges(verdict: &enforcer_policy::explain::Verdict<'_>) -> bool {
    !matches!(verdict.cause, enforcer_policy::explain::Cause::Reason(enforcer_common::Reason::SegmentOff))
}

/// Whether an end is known by a cgroup.
fn is_hosted(end: &End<'_>) -> bool {
    let Who::Workload(workload) = end.who else { return false };
    workload.matches.iter().any(WorkloadMatch::is_cgroup)
}

/// Whether an end's packets met a hook that kept its flows.
fn was_judged(end: &End<'_>, old: Option<&Compiled>) -> bool {
    let Who::Workload(workload) = end.who else { return true };
    let plan = old.and_then(|old| old.subject(&workload.name));
    plan.is_some_and(|plan| plan.mode != SegmentMode::Off)
}

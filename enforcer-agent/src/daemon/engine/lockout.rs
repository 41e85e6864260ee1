//! Nobody is locked out: a change that would cut the session it is asked for from is refused.

use crate::daemon::clock::Instants;
use crate::daemon::session::Session;
use crate::pipeline::Surroundings;
use crate::protocol::Finding;
use crate::verdicts::inputs;
use enforcer_policy::compile::Compiled;
use enforcer_policy::explain::{End, Explainer, Path, Who};
use enforcer_policy::model::{Endpoint, PolicySet, SegmentMode};

/// IP protocol number of TCP.
const TCP: u8 = 6;

/// The sessions among these that the set would cut, each with why. `old` is what is in force.
pub(super) fn cut(
    sessions: &[Session],
    set: &PolicySet,
    compiled: &Compiled,
    around: &Surroundings,
    old: Option<&Compiled>,
) -> Vec<Finding> {
    if sessions.is_empty() {
        return Vec::new();
    }
    let now = Instants::now();
    let ends: Vec<_> = sessions
        .iter()
        .map(|session| [session.client, session.server].map(|end| Endpoint::Address(end.ip())))
        .collect();
    let mut explainer = Explainer::new(inputs(set, around, now), compiled);
    let mut found = Vec::new();
    for (session, [from, to]) in sessions.iter().zip(&ends) {
        for path in explainer.paths(from, to, TCP, session.server.port()) {
            if let Some(why) = ends_by(&path, old).or_else(|| ends_at_host(&path, compiled, old)) {
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

/// Why a session on this path ends, if it does.
fn ends_by(path: &Path<'_>, old: Option<&Compiled>) -> Option<String> {
    let hooks = [(&path.from, &path.egress), (&path.to, &path.ingress)];
    for (end, verdict) in hooks {
        let Some(verdict) = verdict else { continue };
        if !verdict.passes {
            return Some(format!("denied at the hook of {end} by {}", verdict.cause));
        }
        // What a hook didn't see begin is out of state there.
        if !was_judged(end, old) && verdict.word == enforcer_common::Word::Allowed && judges(verdict) {
            return Some(format!("{end} is judged from then on, and its connections have to be opened anew"));
        }
    }
    None
}

/// The same of the machine itself, which isn't among the hooks that a path shows.
fn ends_at_host(path: &Path<'_>, compiled: &Compiled, old: Option<&Compiled>) -> Option<String> {
    let is_end = path.from.who == Who::Host || path.to.who == Who::Host;
    if !is_end || compiled.host.mode != SegmentMode::Enforce {
        return None;
    }
    if !path.verdict.passes {
        return Some(format!("the host is held, and the flow is denied by {}", path.verdict.cause));
    }
    let known = old.is_some_and(|old| old.host.mode != SegmentMode::Off);
    (!known).then(|| "the host is held from then on, and its connections have to be opened anew".to_owned())
}

/// Whether it is judged, rather than let through by its mode.
fn judges(verdict: &enforcer_policy::explain::Verdict<'_>) -> bool {
    !matches!(verdict.cause, enforcer_policy::explain::Cause::Reason(enforcer_common::Reason::SegmentOff))
}

/// Whether an end's packets met a hook that kept its flows.
fn was_judged(end: &End<'_>, old: Option<&Compiled>) -> bool {
    let Who::Workload(workload) = end.who else { return true };
    let plan = old.and_then(|old| old.subject(&workload.name));
    plan.is_some_and(|plan| plan.mode != SegmentMode::Off)
}

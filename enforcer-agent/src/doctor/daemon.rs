//! Whether a daemon answers, and what it says.

use super::packets::Services;
use crate::client::{Unreachable, call};
use crate::protocol::{DoctorCheck, State, Status, WorkloadStatus};
use enforcer_policy::diagnostic::shown;
use hyper::Method;
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// A daemon that is well answers within milliseconds; one that compiles a large set, within seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of asking.
pub(super) enum Asked {
    Answered(Box<Status>),
    /// Nobody is there.
    Nobody,
    /// Somebody is, and doesn't answer in time.
    Silent,
    /// Somebody is, and can't be asked or understood.
    Failed(String),
}

/// Asks for the status.
pub(super) fn ask(socket: &Path) -> Asked {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Asked::Failed(error.to_string()),
    };
    runtime.block_on(async {
        let question = call::<Status>(socket, Method::GET, "/v1/status", None::<&()>);
        match tokio::time::timeout(PATIENCE, question).await {
            Err(_) => Asked::Silent,
            Ok(Ok(status)) => Asked::Answered(Box::new(status)),
            Ok(Err(error)) => match error.downcast_ref::<Unreachable>() {
                Some(unreachable) if unreachable.is_nobody() => Asked::Nobody,
                Some(_) | None => Asked::Failed(format!("{error:#}")),
            },
        }
    })
}

pub(super) fn check(asked: &Asked, bpffs: &Path) -> DoctorCheck {
    const CHECK: &str = "daemon";
    match asked {
        Asked::Answered(status) => answered(status),
        Asked::Silent => DoctorCheck::missing(
            CHECK,
            format!("it doesn't answer within {} s", PATIENCE.as_secs()),
            "systemctl restart enforcer; what is enforced stays enforced meanwhile",
        ),
        Asked::Failed(why) => DoctorCheck::unknown(CHECK, why.escape_debug().to_string()),
        // Pins of a generation: something is enforced, and nobody looks after it.
        Asked::Nobody if has_pins(bpffs) => DoctorCheck::missing(
            CHECK,
            "no daemon runs: what was enforced stays enforced, but new devices and changes aren't noticed",
            "systemctl start enforcer; or take everything away: enforcer stop --detach",
        ),
        Asked::Nobody => DoctorCheck::note(CHECK, "no daemon runs, and nothing is enforced")
            .mend("systemctl start enforcer"),
    }
}

fn answered(status: &Status) -> DoctorCheck {
    const CHECK: &str = "daemon";
    let interfaces = || status.workloads.iter().flat_map(|one| &one.interfaces);
    let (all, hooked) = (interfaces().count(), interfaces().filter(|one| one.attached).count());
    let found = format!(
        "{} answers; {} policies in force, {hooked} of {all} devices hooked",
        shown(&status.version),
        status.policies
    );
    let each = interfaces()
        .filter_map(|one| Some(format!("{}: {}", shown(&one.name), shown(one.error.as_deref()?))));
    if let Some(degraded) = &status.degraded {
        let found = format!("degraded: {}", shown(&degraded.why));
        return DoctorCheck::missing(CHECK, found, "`enforcer status` says more").each(each.collect());
    }
    match status.state {
        State::Enforcing if hooked == all => DoctorCheck::ok(CHECK, found),
        State::Enforcing | State::Degraded => {
            DoctorCheck::missing(CHECK, found, "`enforcer status` says why").each(each.collect())
        }
    }
}

fn has_pins(bpffs: &Path) -> bool {
    let entries = fs::read_dir(bpffs).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().join("links").is_dir())
}

/// Devices that workloads claim, as far as a daemon tells.
pub(super) fn claimed(asked: &Asked) -> Vec<String> {
    let Asked::Answered(status) = asked else { return Vec::new() };
    status.workloads.iter().flat_map(|one| &one.interfaces).map(|one| one.name.clone()).collect()
}

/// Addresses of workloads that may run here, as far as a daemon tells.
pub(super) fn addresses(asked: &Asked) -> Option<BTreeSet<IpAddr>> {
    let Asked::Answered(status) = asked else { return None };
    Some(
        status
            .workloads
            .iter()
            .filter(|one| !one.interfaces.is_empty())
            .flat_map(|one| one.addresses.clone())
            .collect(),
    )
}

/// Workloads that are known by a cgroup, as far as a daemon tells.
pub(super) fn services(asked: &Asked) -> Option<Services> {
    let Asked::Answered(status) = asked else { return None };
    let each = |one: &WorkloadStatus| {
        one.cgroups.iter().map(|path| (path.clone(), one.name.clone())).collect::<Vec<_>>()
    };
    Some(status.workloads.iter().flat_map(each).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Word;
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    #[test]
    fn nobody_is_a_note_and_what_nobody_looks_after_is_to_be_mended() {
        let dir = tempfile::tempdir().unwrap();
        let asked = ask(&dir.path().join("none.sock"));
        assert_eq!(check(&asked, dir.path()).word, Word::Note);
        fs::create_dir_all(dir.path().join("v0000000000000001/links")).unwrap();
        assert_eq!(check(&asked, dir.path()).word, Word::Missing);
        assert!(claimed(&asked).is_empty() && addresses(&asked).is_none());
    }

    #[test]
    fn who_answers_something_else_is_not_understood() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]);
        });
        assert_eq!(check(&ask(&path), dir.path()).word, Word::Unknown);
        other.join().unwrap();
        assert_eq!(check(&Asked::Silent, dir.path()).word, Word::Missing);
    }
}

//! The daemon's settings, its directories, and the clock that expiries are counted by.

use super::unseen;
use crate::daemon::config::Settings;
use crate::protocol::DoctorCheck;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What was written may be this much in the future: file systems round.
const TOLERANCE: Duration = Duration::from_secs(60);

pub(super) fn settings(wrong: Option<String>) -> DoctorCheck {
    match wrong {
        None => DoctorCheck::ok("settings", "valid"),
        Some(wrong) => DoctorCheck::missing(
            "settings",
            wrong,
            "`enforcer check /etc/enforcer/enforcer.yaml` says where; the defaults are looked at here",
        ),
    }
}

/// Whoever may write into one of them decides what is enforced.
pub(super) fn directories(settings: &Settings) -> Vec<DoctorCheck> {
    let policies = settings.policies.iter().map(|path| ("policies", &**path, 0o022));
    let socket = settings.socket.parent().map(|parent| ("socket-directory", parent, 0o022));
    let rest = [("state", &*settings.state, 0o077), ("pins", &*settings.bpffs, 0o077)];
    socket
        .into_iter()
        .chain(rest)
        .chain(policies)
        .map(|(name, path, mask)| directory(name, path, mask))
        .collect()
}

fn directory(check: &str, path: &Path, closed: u32) -> DoctorCheck {
    let shown = path.display().to_string();
    let shown = shown.escape_debug();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let when = if check == "policies" { "nothing is read from it" } else { "the daemon makes it" };
            return DoctorCheck::note(check, format!("`{shown}` isn't there (yet): {when}"));
        }
        Err(error) => return unseen(check, &format!("`{shown}`"), &error),
    };
    let (mode, owner) = (found.mode() & 0o7777, found.uid());
    let ours = rustix::process::geteuid().as_raw();
    if owner != 0 && owner != ours {
        let found = format!("`{shown}` belongs to user {owner}");
        return DoctorCheck::missing(check, found, format!("chown root `{shown}`"));
    }
    if mode & closed != 0 {
        let found = format!("`{shown}` has mode {mode:o}: others may get in");
        return DoctorCheck::missing(check, found, format!("chmod {:o} `{shown}`", mode & !closed));
    }
    DoctorCheck::ok(check, format!("`{shown}`, mode {mode:o}"))
}

/// A clock that goes back to before the last set was in force would bring back what has expired.
pub(super) fn clock(state: &Path) -> DoctorCheck {
    let written = fs::metadata(state.join("last-good.json")).and_then(|found| found.modified());
    judge_clock(written, SystemTime::now())
}

fn judge_clock(written: io::Result<SystemTime>, now: SystemTime) -> DoctorCheck {
    match written {
        Ok(written) if now + TOLERANCE < written => DoctorCheck::missing(
            "clock",
            "the wall clock shows a time before the last set was in force: expired rules would count again",
            "set the clock, and keep it set (systemd-timesyncd, chrony)",
        ),
        Ok(_) => DoctorCheck::ok("clock", "the wall clock is later than the last set"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DoctorCheck::ok("clock", "nothing was in force here yet that it could be compared with")
        }
        Err(error) => unseen("clock", "when the last set was in force", &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Word;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn directories_that_others_may_write_to_are_to_be_closed() {
        let dir = tempfile::tempdir().unwrap();
        let set = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        for (mode, closed, word, mend) in [
            (0o755, 0o022, Word::Ok, None),
            (0o775, 0o022, Word::Missing, Some("chmod 755 ")),
            (0o755, 0o077, Word::Missing, Some("chmod 700 ")),
            (0o700, 0o077, Word::Ok, None),
        ] {
            set(mode);
            let found = directory("state", dir.path(), closed);
            assert_eq!(found.word, word, "{mode:o} {closed:o}: {found:?}");
            assert_eq!(found.mend.as_deref().map(|mend| &mend[..10]), mend, "{mode:o}");
        }
        assert_eq!(directory("policies", &dir.path().join("none"), 0o022).word, Word::Note);
    }

    #[test]
    fn a_clock_behind_what_was_written_is_wrong() {
        let now = SystemTime::now();
        let word = |written| judge_clock(written, now).word;
        assert_eq!(word(Ok(now - Duration::from_secs(9))), Word::Ok);
        assert_eq!(word(Ok(now + Duration::from_secs(3600))), Word::Missing);
        assert_eq!(word(Err(io::ErrorKind::NotFound.into())), Word::Ok);
        assert_eq!(word(Err(io::ErrorKind::PermissionDenied.into())), Word::Unknown);
    }
}

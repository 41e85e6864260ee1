//! Who is at the other end of the control socket. Its mode keeps others out; this does too where somebody changed it.

use crate::kernel::peer_groups;
use anyhow::{Context, Result};
use nix::unistd::{Gid, Group};
use tokio::net::UnixStream;
use tracing::warn;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Root, or the daemon's own user.
    Owner,
    /// A member of the group that the settings name.
    Member,
}

/// The group that the settings name: by its name, else by its number.
pub fn group(setting: Option<&str>) -> Result<Option<Gid>> {
    let Some(setting) = setting else { return Ok(None) };
    let named =
        Group::from_name(setting).with_context(|| format!("could not look up the group `{setting}`"))?;
    let number = || setting.parse().ok().map(Gid::from_raw);
    let found = named.map(|group| group.gid).or_else(number);
    found.map(Some).with_context(|| format!("there is no group `{setting}`"))
}

/// What a client may; none where it may nothing.
pub(super) fn standing(stream: &UnixStream, group: Option<Gid>) -> Option<Standing> {
    let peer = match stream.peer_cred() {
        Ok(peer) => peer,
        Err(error) => {
            warn!(%error, "could not tell who a client of the control socket is");
            return None;
        }
    };
    if peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw() {
        return Some(Standing::Owner);
    }
    if let Some(group) = group.map(Gid::as_raw) {
        match peer_groups(stream) {
            Ok(groups) if peer.gid() == group || groups.contains(&group) => return Some(Standing::Member),
            Ok(_) => {}
            Err(error) => warn!(%error, "could not tell the groups of a client of the control socket"),
        }
    }
    warn!(uid = peer.uid(), "refused a client of the control socket that is neither root nor of its group");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_known_by_name_or_number() {
        assert_eq!(group(None).unwrap(), None);
        assert_eq!(group(Some("root")).unwrap(), Some(Gid::from_raw(0)));
        assert_eq!(group(Some("4711")).unwrap(), Some(Gid::from_raw(4711)));
        assert_eq!(
            group(Some("nobody-is-in-it")).unwrap_err().to_string(),
            "there is no group `nobody-is-in-it`"
        );
    }
}

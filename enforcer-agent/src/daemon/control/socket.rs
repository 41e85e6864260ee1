//! The socket file: root's alone from the moment it exists, and then for a group where the settings name one.

use super::answered;
use anyhow::{Context, Result, bail};
use nix::unistd::Gid;
use rustix::fs::Mode;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::Path;
use tokio::net::UnixListener;
use tracing::warn;

/// Listens at `path`. A socket that nobody answers at any more is replaced; anything else there is left alone.
pub fn bind(path: &Path, group: Option<Gid>) -> Result<UnixListener> {
    let shown = path.display();
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(parent);
        made.with_context(|| format!("could not make `{}`", parent.display()))?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => bail!("`{shown}` exists and is no socket"),
        Ok(_) if answered(path) => bail!("another daemon answers at `{shown}`"),
        Ok(_) => {
            fs::remove_file(path).with_context(|| format!("could not remove the old socket `{shown}`"))?
        }
        Err(_) => {}
    }
    // The mask is the process's; nothing else makes files yet.
    let before = rustix::process::umask(Mode::from(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.with_context(|| format!("could not listen at `{shown}`"))?;
    let given = group.map(|group| (group, std::os::unix::fs::chown(path, None, Some(group.as_raw()))));
    let mode = match given {
        Some((_, Ok(()))) => 0o660,
        Some((group, Err(error))) => {
            // Enforcing doesn't wait for it.
            warn!(%error, "could not give `{shown}` to the group {group}: only root may use it");
            0o600
        }
        None => 0o600,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("could not say who may use `{shown}`"))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_roots_alone_and_replaces_only_what_is_dead() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/enforcer.sock");
        let listener = bind(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(bind(&path, None).unwrap_err().to_string().starts_with("another daemon answers"));
        drop(listener);
        let own = Gid::from_raw(rustix::process::getegid().as_raw());
        drop(bind(&path, Some(own)).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(bind(&path, None).unwrap_err().to_string().ends_with("is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}

//! Which files a path means: itself, or what is below it.

use super::Unreadable;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Directories inside directories. Deeper ones are reported.
const DEEPEST: usize = 32;

/// What was found below a path.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Policy files in reading order.
    pub files: Vec<PathBuf>,
    /// Directories that were looked into.
    pub directories: Vec<PathBuf>,
    /// What could not be looked into.
    pub unreadable: Vec<Unreadable>,
}

/// The files that `path` means: itself where it isn't a directory; else every `*.yaml` and `*.yml` below it, in name order.
/// Names that begin with a dot are left out: they belong to editors, to version control, and to how Kubernetes
/// replaces a mounted directory.
#[must_use]
pub(crate) fn list(path: &Path) -> Listing {
    let mut listing = Listing::default();
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => listing.walk(path, &found, &mut Vec::new()),
        Ok(_) => listing.files.push(path.to_owned()),
        Err(error) => listing.unreadable.push(Unreadable::new(path, error)),
    }
    // Of `.`, which says nothing, names are shown without it.
    if path.as_os_str() == "." {
        for file in &mut listing.files {
            if let Ok(short) = file.strip_prefix(".") {
                *file = short.to_owned();
            }
        }
    }
    listing
}

impl Listing {
    fn walk(&mut self, directory: &Path, found: &Metadata, above: &mut Vec<(u64, u64)>) {
        let identity = (found.dev(), found.ino());
        if above.contains(&identity) {
            return self.refuse(directory, "it contains itself through a symbolic link");
        }
        if above.len() == DEEPEST {
            return self.refuse(directory, "it is too deep");
        }
        let names = fs::read_dir(directory)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>());
        let mut names = match names {
            Ok(names) => names,
            Err(error) => return self.unreadable.push(Unreadable::new(directory, error)),
        };
        names.sort_unstable();
        self.directories.push(directory.to_owned());
        above.push(identity);
        for name in names.iter().filter(|name| !hidden(name)) {
            self.entry(&directory.join(name), above);
        }
        above.pop();
    }

    fn entry(&mut self, path: &Path, above: &mut Vec<(u64, u64)>) {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => self.walk(path, &found, above),
            Ok(found) if is_policy(path) && found.is_file() => self.files.push(path.to_owned()),
            Ok(_) if is_policy(path) => self.refuse(path, "it is neither a file nor a directory"),
            Err(error) if is_policy(path) => self.unreadable.push(Unreadable::new(path, error)),
            // A name that is no policy file's is none of our business, readable or not.
            Ok(_) | Err(_) => {}
        }
    }

    fn refuse(&mut self, path: &Path, why: &str) {
        self.unreadable.push(Unreadable::new(path, why));
    }
}

fn hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a listing of the directory that `path` is relative to would have it.
pub(super) fn is_shown_policy(path: &Path) -> bool {
    is_policy(path) && !path.iter().any(hidden)
}

fn is_policy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_directory_is_read_in_name_order_and_hidden_names_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("20-sub/deep")).unwrap();
        fs::create_dir_all(dir.path().join("..2024_data")).unwrap();
        for name in [
            "30.yaml",
            "10.yml",
            "20-sub/b.yaml",
            "20-sub/deep/a.yaml",
            ".x.yaml",
            "..2024_data/c.yaml",
            "note",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let listing = list(dir.path());
        let files: Vec<_> = listing.files.iter().map(|file| file.strip_prefix(dir.path()).unwrap()).collect();
        assert_eq!(files, ["10.yml", "20-sub/b.yaml", "20-sub/deep/a.yaml", "30.yaml"].map(Path::new));
        assert_eq!(listing.directories.len(), 3);
        assert!(listing.unreadable.is_empty());
    }

    #[test]
    fn loops_dangling_links_and_pipes_are_reported_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        symlink(dir.path(), dir.path().join("loop")).unwrap();
        symlink("nowhere", dir.path().join("gone.yaml")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("pipe.yaml"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
        let listing = list(dir.path());
        assert!(listing.files.is_empty());
        let named: Vec<_> =
            listing.unreadable.iter().map(|problem| problem.path.file_name().unwrap()).collect();
        assert_eq!(named, ["gone.yaml", "loop", "pipe.yaml"]);
    }
}

//! The file system that a machine boots with: an archive in memory, made of programs of this machine with the libraries they load.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cpio::newc::{Builder, trailer};

use crate::shell::{find, output};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;

/// Files to be, by their absolute path.
#[derive(Debug, Default, Clone)]
pub(super) struct Initramfs {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Where the dynamic loader is to look.
    libraries: BTreeSet<PathBuf>,
}

impl Initramfs {
    /// Puts a file at a path.
    pub(super) fn put(&mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) {
        self.files.insert(path.into(), bytes);
    }

    /// Puts a program at a path, without its debug information and with the libraries that it loads.
    pub(super) fn put_program(&mut self, path: impl Into<PathBuf>, from: &Path, aside: &Path) -> Result<()> {
        let stripped = aside.join("stripped");
        let mut command = Command::new(find("strip").context("`strip` (Debian's `binutils`) is missing")?);
        let text = output(command.arg("--strip-debug").arg("-o").arg(&stripped).arg(from))?;
        if !text.is_empty() {
            eprintln!("{text}");
        }
        let bytes = fs::read(&stripped).with_context(|| format!("cannot read `{}`", stripped.display()))?;
        self.put(path, bytes);
        for library in libraries(from)? {
            let bytes = fs::read(&library).with_context(|| format!("cannot read `{}`", library.display()))?;
            self.libraries.extend(library.parent().map(Path::to_owned));
            self.put(library, bytes);
        }
        Ok(())
    }

    /// Where the dynamic loader is to look, as `LD_LIBRARY_PATH` has it.
    pub(super) fn library_path(&self) -> String {
        let dirs: Vec<_> = self.libraries.iter().map(|dir| dir.to_string_lossy().into_owned()).collect();
        dirs.join(":")
    }

    /// The archive.
    pub(super) fn pack(&self) -> Result<Vec<u8>> {
        let mut entries: BTreeMap<PathBuf, (u32, &[u8])> = BTreeMap::new();
        for path in ["/dev", "/proc", "/run", "/sys", "/tmp"] {
            entries.insert(path.into(), (DIRECTORY, &[]));
        }
        // The first process's output.
        entries.insert("/dev/console".into(), (DEVICE, &[]));
        for (path, bytes) in &self.files {
            for dir in path.ancestors().skip(1).filter(|dir| *dir != Path::new("/")) {
                entries.insert(dir.to_owned(), (DIRECTORY, &[]));
            }
            entries.insert(path.clone(), (PROGRAM, bytes));
        }
        let mut archive = Vec::new();
        // In order: a directory comes before what is in it.
        for (number, (path, (mode, bytes))) in entries.into_iter().enumerate() {
            let name = path.strip_prefix("/").context("a path that isn't absolute")?;
            let mut entry = Builder::new(&name.to_string_lossy()).ino(number as u32 + 1).mode(mode).nlink(1);
            if mode == DEVICE {
                entry = entry.rdev_major(5).rdev_minor(1);
            }
            let size = u32::try_from(bytes.len()).context("a file of more than 4 GiB")?;
            let mut writer = entry.write(&mut archive, size);
            writer.write_all(bytes).context("cannot pack")?;
            writer.finish().context("cannot pack")?;
        }
        trailer(&mut archive).context("cannot pack")?;
        Ok(archive)
    }
}

/// The libraries that a program loads, its loader among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let ldd = find("ldd").context("`ldd` is missing")?;
    let said = Command::new(ldd).arg(program).output().context("cannot run `ldd`")?;
    let text = String::from_utf8_lossy(&said.stdout);
    if text.contains("not found") {
        bail!("`{}` doesn't find its libraries: {text}", program.display());
    }
    // A static program has none, and `ldd` calls that a failure.
    Ok(text.lines().filter_map(library).collect())
}

/// The path in a line of `ldd`: `libm.so.6 => /lib/libm.so.6 (0x…)` or `/lib64/ld-linux.so.2 (0x…)`.
fn library(line: &str) -> Option<PathBuf> {
    let line = line.split_once("=>").map_or(line, |(_, path)| path).trim();
    let path = line.split(" (0x").next()?;
    path.starts_with('/').then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffe)"), None);
        assert_eq!(
            library("\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f)").unwrap(),
            Path::new("/lib/x/libm.so.6")
        );
        assert_eq!(library("\t/lib64/ld-linux.so.2 (0x00007f)").unwrap(), Path::new("/lib64/ld-linux.so.2"));
        assert_eq!(library("\tstatically linked"), None);
    }

    #[test]
    fn directories_stand_before_what_is_in_them() {
        let mut files = Initramfs::default();
        files.put("/a/b/c", b"text".to_vec());
        let archive = files.pack().unwrap();
        let mut reader = cpio::newc::Reader::new(&archive[..]).unwrap();
        let mut names = Vec::new();
        while !reader.entry().is_trailer() {
            names.push((reader.entry().name().to_owned(), reader.entry().mode()));
            reader = cpio::newc::Reader::new(reader.finish().unwrap()).unwrap();
        }
        let place = |name: &str| names.iter().position(|(other, _)| other == name).unwrap();
        assert!(place("a") < place("a/b") && place("a/b") < place("a/b/c"));
        assert_eq!(names[place("a/b/c")].1, PROGRAM);
        assert_eq!(names[place("dev/console")].1, DEVICE);
    }
}

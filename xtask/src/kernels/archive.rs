//! Kernels from Debian's archive, through an apt directory of our own: the machine's own sources and lists are left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::lines::{Line, Version};
use crate::shell::{find, output, run};

/// Where each line of kernels is kept up to date.
const SUITES: [(&str, &str); 4] = [
    ("http://deb.debian.org/debian-security", "bullseye-security"),
    ("http://deb.debian.org/debian-security", "bookworm-security"),
    ("http://deb.debian.org/debian-security", "trixie-security"),
    ("http://deb.debian.org/debian", "trixie-backports"),
];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package that boots a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) version: Version,
    /// The package's own version, with Debian's part.
    full: String,
    name: String,
    /// Itself and what holds the image and the modules where that is split off.
    parts: Vec<String>,
}

/// The private apt directory, and kernels that were unpacked before.
#[derive(Debug)]
pub(super) struct Archive {
    dir: PathBuf,
}

/// A kernel, unpacked.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Debian's version of it.
    pub(super) version: String,
    pub(super) image: PathBuf,
    /// The modules asked for and what they depend on, in the order in which they load.
    pub(super) modules: Vec<PathBuf>,
}

impl Archive {
    /// Makes the directory, and reads the suites' lists as they are today.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        if std::env::consts::ARCH != "x86_64" {
            bail!("kernels are tested on x86-64 only, and this is `{}`", std::env::consts::ARCH);
        }
        let archive = Self { dir: dir.to_owned() };
        let apt = archive.apt_dir();
        for part in ["lists/partial", "cache/archives/partial", "none"] {
            let part = apt.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make `{}`", part.display()))?;
        }
        let sources: String = SUITES
            .iter()
            .map(|(url, suite)| format!("deb [arch=amd64 signed-by={KEYRING}] {url} {suite} main\n"))
            .collect();
        fs::write(apt.join("sources.list"), sources).context("cannot write the private `sources.list`")?;
        fs::write(apt.join("status"), "").context("cannot write the private `status`")?;
        fs::write(apt.join("apt.conf"), configuration(&apt))
            .context("cannot write the private `apt.conf`")?;
        if let Err(error) = run(archive.command("apt-get")?.args(["-qq", "update"])) {
            // Lists of an earlier day and kernels that were unpacked then do as well.
            eprintln!("cannot read the suites' lists anew: {error:#}");
        }
        Ok(archive)
    }

    fn apt_dir(&self) -> PathBuf {
        self.dir.join("apt")
    }

    fn command(&self, program: &str) -> Result<Command> {
        let path = find(program).with_context(|| {
            format!("`{program}` is missing: kernels come from Debian's archive, through apt")
        })?;
        let mut command = Command::new(path);
        command.env("APT_CONFIG", self.apt_dir().join("apt.conf"));
        Ok(command)
    }

    /// The newest package of a line.
    pub(super) fn newest(&self, line: &Line) -> Result<Package> {
        let available = output(self.command("apt-cache")?.arg("dumpavail").stderr(Stdio::inherit()))?;
        let packages: Vec<_> = available.split("\n\n").filter_map(Package::read).collect();
        line.choose(&packages, |package| &package.version).cloned().with_context(|| {
            let mut known: Vec<_> = packages.iter().map(|package| package.version.to_string()).collect();
            known.sort();
            format!("the archive has no kernel of the line {line}; it has {}", known.join(", "))
        })
    }

    /// Downloads and unpacks a kernel with some of its modules, unless that was done before.
    pub(super) fn unpack(&self, package: &Package, modules: &[&str]) -> Result<Kernel> {
        let done = self.dir.join(&package.name);
        let order = done.join("modules.order");
        if !fs::read_to_string(&order).is_ok_and(|text| text.starts_with(&header(package, modules))) {
            let aside = self.dir.join(format!("{}.new", package.name));
            remove(&aside)?;
            remove(&done)?;
            fs::create_dir_all(&aside).with_context(|| format!("cannot make `{}`", aside.display()))?;
            self.fetch(package, modules, &aside)?;
            fs::rename(&aside, &done).with_context(|| format!("cannot make `{}`", done.display()))?;
        }
        let text =
            fs::read_to_string(&order).with_context(|| format!("cannot read `{}`", order.display()))?;
        let modules = text.lines().skip(1).map(|name| done.join(name)).collect();
        Ok(Kernel { version: package.full.clone(), image: done.join("vmlinuz"), modules })
    }

    fn fetch(&self, package: &Package, modules: &[&str], to: &Path) -> Result<()> {
        let tree = to.join("tree");
        let mut command = self.command("apt-get")?;
        // `apt-get download` checks what it gets against the signed lists.
        command.args(["-qq", "-o", "APT::Sandbox::User=root", "download"]).args(&package.parts);
        run(command.current_dir(to))?;
        for deb in files(to)?.iter().filter(|path| path.extension().is_some_and(|end| end == "deb")) {
            run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&tree))?;
            fs::remove_file(deb).with_context(|| format!("cannot remove `{}`", deb.display()))?;
        }
        let all = walk(&tree)?;
        let image = all
            .iter()
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")));
        let image = image.with_context(|| format!("`{}` holds no image of a kernel", package.name))?;
        fs::rename(image, to.join("vmlinuz")).context("cannot keep the image")?;
        let mut order = Vec::new();
        for module in modules {
            keep(module, &all, to, &mut order)?;
        }
        remove(&tree)?;
        let text = header(package, modules) + &order.concat();
        fs::write(to.join("modules.order"), text).context("cannot write `modules.order`")
    }
}

impl Package {
    /// Reads a stanza of apt's list, if it is of a kernel as people run it.
    fn read(stanza: &str) -> Option<Self> {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let name = field("Package")?;
        let release = name.strip_prefix("linux-image-")?.strip_suffix("-amd64")?;
        let is_plain = release.starts_with(|first: char| first.is_ascii_digit())
            && release.contains(|other: char| !other.is_ascii_digit() && other != '.')
            && !["cloud", "rt"].iter().any(|flavour| release.ends_with(&format!("-{flavour}")));
        if !is_plain {
            return None;
        }
        let depends = field("Depends").unwrap_or_default();
        let split_off = depends
            .split(", ")
            .filter(|name| ["linux-binary-", "linux-modules-"].iter().any(|kind| name.starts_with(kind)))
            .filter_map(|name| name.split(' ').next());
        let parts = std::iter::once(name).chain(split_off).map(str::to_owned).collect();
        let full = field("Version")?.to_owned();
        Some(Self { version: Version::of(&full)?, full, name: name.to_owned(), parts })
    }
}

fn configuration(apt: &Path) -> String {
    let apt = apt.display();
    format!(
        "Dir::Etc::sourcelist \"{apt}/sources.list\";\nDir::Etc::sourceparts \"{apt}/none\";\n\
         Dir::Etc::preferences \"{apt}/none/preferences\";\nDir::Etc::preferencesparts \"{apt}/none\";\n\
         Dir::State \"{apt}\";\nDir::State::lists \"{apt}/lists\";\nDir::State::status \"{apt}/status\";\n\
         Dir::Cache \"{apt}/cache\";\nAPT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\n"
    )
}

/// Tells whether what was unpacked is what is wanted.
fn header(package: &Package, modules: &[&str]) -> String {
    format!("{} {}\n", package.full, modules.join(" "))
}

/// Copies a module, unpacked, after those that it depends on.
fn keep(module: &str, all: &[PathBuf], to: &Path, order: &mut Vec<String>) -> Result<()> {
    let line = format!("{module}.ko\n");
    if order.contains(&line) {
        return Ok(());
    }
    let path = all.iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split_once(".ko").is_some_and(|(stem, _)| stem.replace('-', "_") == module)
    });
    let path = path.with_context(|| format!("the kernel has no module `{module}`"))?;
    let bytes = if path.extension().is_some_and(|end| end == "xz") {
        let unpacked = Command::new("xz").arg("-dc").arg(path).output().context("cannot run `xz`")?;
        if !unpacked.status.success() {
            bail!("cannot unpack `{}`", path.display());
        }
        unpacked.stdout
    } else {
        fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?
    };
    for other in depends(&bytes) {
        keep(&other, all, to, order)?;
    }
    fs::write(to.join(line.trim_end()), bytes).with_context(|| format!("cannot keep `{module}`"))?;
    order.push(line);
    Ok(())
}

/// The modules that a module names in its section `.modinfo`, whose entries end in zeros.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let names = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(names);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read `{}`", dir.display());
    let entries = dir.read_dir().with_context(unreadable)?;
    entries.map(|entry| Ok(entry.with_context(unreadable)?.path())).collect()
}

fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in files(dir)? {
        // Links lead back into the tree, or to sources that aren't there.
        if path.is_dir() && !path.is_symlink() { found.extend(walk(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_as_people_run_them_are_told_from_the_rest() {
        let read = |name: &str| Package::read(&format!("Package: {name}\nVersion: 6.1.192-2\nDepends: kmod"));
        assert!(read("linux-image-6.1.0-56-amd64").is_some());
        assert!(read("linux-image-6.12.117+deb13-amd64").is_some());
        for other in [
            "linux-image-6.1-amd64",
            "linux-image-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-56-rt-amd64",
            "linux-image-6.1.0-56-amd64-dbg",
            "linux-image-6.1-amd64-signed-template",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_kernel_in_parts_is_fetched_whole() {
        let package = Package::read(
            "Package: linux-image-7.3.4+deb13-amd64\nVersion: 7.3.4-1~bpo13+1\nDepends: dracut | x (>= 1), \
             linux-base-7.3.4+deb13-amd64 (= 1), linux-binary-7.3.4+deb13-amd64 (= 1), linux-modules-7.3.4+deb13-amd64 (= 1)",
        );
        let parts = package.unwrap().parts;
        assert_eq!(
            parts,
            [
                "linux-image-7.3.4+deb13-amd64",
                "linux-binary-7.3.4+deb13-amd64",
                "linux-modules-7.3.4+deb13-amd64"
            ]
        );
    }

    #[test]
    fn a_module_names_what_it_depends_on() {
        assert_eq!(
            depends(b"x\0license=GPL\0depends=libcrc32c,nf-tables\0name=y\0"),
            ["libcrc32c", "nf_tables"]
        );
        assert_eq!(depends(b"x\0depends=\0name=y\0"), Vec::<String>::new());
        assert_eq!(depends(b"x"), Vec::<String>::new());
    }
}

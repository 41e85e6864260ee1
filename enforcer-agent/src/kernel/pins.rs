//! What outlives the daemon, and where it stands:
//!
//! ```text
//! <bpffs>/netns-<inode>            the network namespace the links are in
//! <bpffs>/qdisc-<ifindex>          marks a clsact qdisc that was made for classifiers of ours, whatever the layout
//! <bpffs>/v<layout>/filled-<revision>   what packets fill means the same in every layout with this mark
//! <bpffs>/v<layout>/made-…                what the programs were made from, see `made.rs`
//! <bpffs>/v<layout>/left/…                how everything was left, see `guard/left.rs`
//! <bpffs>/v<layout>/maps/NAME
//! <bpffs>/v<layout>/programs/NAME
//! <bpffs>/v<layout>/links/<ifindex>-<direction>          a tcx link
//! <bpffs>/v<layout>/links/cgroup-<hook>                  a link at the sockets of a cgroup
//! <bpffs>/v<layout>/links/<ifindex>-<direction>-clsact   marks a classifier, which can't be pinned
//! ```

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use enforcer_common::maps::Direction;
use rustix::fs::{FlockOperation, flock};

use super::bpffs::Place;
use super::layout::FILLED_REVISION;
use super::query::{self, Tag};
use super::socket_hook::SocketHook;
use super::{bpffs, sys};
use crate::datapath::DatapathError;

const NAMESPACE: &str = "netns-";

/// The pins of one daemon. Nobody else can have them while this lives.
#[derive(Debug)]
pub(super) struct Pins {
    root: Place,
    /// As it was asked for.
    wanted: PathBuf,
    layout: u64,
    dir: PathBuf,
    lock: File,
}

/// What each layout's directory holds.
const PARTS: [&str; 3] = ["maps", "programs", "links"];

/// How a link is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Tcx,
    Clsact,
}

/// The record of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LinkPin {
    pub(super) ifindex: u32,
    pub(super) direction: Direction,
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    /// Marks the qdisc below a classifier as ours.
    pub(super) qdisc: PathBuf,
}

/// Another layout's pins.
#[derive(Debug)]
pub(super) struct Other {
    dir: PathBuf,
    /// How many hooks run its programs.
    pub(super) links: usize,
}

impl Other {
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.dir.join("maps").join(name)
    }
}

impl Pins {
    /// Takes hold of the pins below `wanted`, and of those of this layout in particular.
    pub(super) fn open(wanted: &Path, layout: u64) -> Result<Self, DatapathError> {
        let (root, dir, lock) = take(wanted, layout)?;
        Ok(Self { root, wanted: wanted.to_owned(), layout, dir, lock })
    }

    /// Whether the directory that is locked is the one that stands there, with the mark of its network namespace.
    pub(super) fn is_in_place(&self) -> bool {
        self.has_root() && namespace_mark().is_ok_and(|mark| self.root.path.join(mark).exists())
    }

    /// Makes the directory anew, where somebody has taken it away.
    pub(super) fn put_in_place(&mut self) -> Result<(), DatapathError> {
        if self.has_root() {
            // Only the mark is missing, and this daemon has the lock.
            return settle_namespace(&self.root.path);
        }
        let (root, dir, lock) = take(&self.wanted, self.layout)?;
        (self.root, self.dir, self.lock) = (root, dir, lock);
        Ok(())
    }

    fn has_root(&self) -> bool {
        let number = |found: io::Result<fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
        number(self.lock.metadata()) == number(fs::metadata(&self.root.path))
    }

    /// The directory of this layout.
    pub(super) fn layout_dir(&self) -> &Path {
        &self.dir
    }

    /// The directories with pins of this layout.
    pub(super) fn dirs(&self) -> [PathBuf; 3] {
        PARTS.map(|part| self.dir.join(part))
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.dir.join("maps").join(name)
    }

    pub(super) fn link(&self, ifindex: u32, direction: Direction, kind: Kind) -> LinkPin {
        let name =
            format!("{ifindex}-{}{}", direction.word(), if kind == Kind::Clsact { "-clsact" } else { "" });
        let qdisc = qdisc(&self.dir, ifindex);
        LinkPin { ifindex, direction, kind, path: self.dir.join("links").join(name), qdisc }
    }

    /// Where a link at sockets is pinned.
    pub(super) fn cgroup_link(&self, hook: SocketHook) -> PathBuf {
        cgroup_link(&self.dir, hook)
    }

    /// Where other layouts have pinned theirs.
    pub(super) fn cgroup_links_of_others(&self, hook: SocketHook) -> Result<Vec<PathBuf>, DatapathError> {
        let links = self.others()?.into_iter().map(|dir| cgroup_link(&dir, hook));
        Ok(links.filter(|link| link.exists()).collect())
    }

    /// Whether programs of this layout judge already.
    pub(super) fn has_hooks(&self) -> Result<bool, DatapathError> {
        Ok(hooks_in(&self.dir)? > 0)
    }

    /// Whether no map is pinned yet, so that those that will be have nothing in them.
    pub(super) fn has_no_maps(&self) -> Result<bool, DatapathError> {
        Ok(entries(&self.dir.join("maps"))?.is_empty())
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join("programs").join(name)
    }

    /// Pins a program that is about to run, beside the one under its name.
    pub(super) fn stage_program(&self, name: &str, program: impl AsFd) -> io::Result<()> {
        let new = self.staged(name);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sys::pin(program, &new)
    }

    /// Gives it the name. The old one goes in the same instant.
    pub(super) fn commit_program(&self, name: &str) -> io::Result<()> {
        fs::rename(self.staged(name), self.program(name))
    }

    /// Where a program is pinned until it gets its name. Dots aren't allowed in names of pins.
    pub(super) fn staged(&self, name: &str) -> PathBuf {
        self.program(&format!("{name}-new"))
    }

    /// Tags of the programs that the last daemon pinned under this name; also of one that it was about to.
    pub(super) fn tags(&self, name: &str) -> Vec<Tag> {
        let tag = |pin: PathBuf| query::tag(sys::open_pin(&pin).ok()?.as_fd()).ok();
        [self.program(name), self.staged(name)].into_iter().filter_map(tag).collect()
    }

    /// Where it is written down how everything is left.
    pub(super) fn left(&self) -> PathBuf {
        self.dir.join("left")
    }

    /// All records of links of this layout.
    pub(super) fn links(&self) -> Result<Vec<LinkPin>, DatapathError> {
        links_in(&self.dir)
    }

    /// All records of links of other layouts: an earlier release's, still enforcing.
    pub(super) fn links_of_others(&self) -> Result<Vec<LinkPin>, DatapathError> {
        let mut links = Vec::new();
        for dir in self.others()? {
            links.extend(links_in(&dir)?);
        }
        Ok(links)
    }

    /// Other layouts in which what packets fill means the same, those with most links first.
    pub(super) fn related(&self) -> Result<Vec<Other>, DatapathError> {
        let mut others = Vec::new();
        for dir in self.others()?.into_iter().filter(|dir| dir.join(filled_mark()).exists()) {
            let links = hooks_in(&dir)?;
            others.push(Other { dir, links });
        }
        others.sort_by_key(|other| std::cmp::Reverse(other.links));
        Ok(others)
    }

    /// Forgets how other layouts were left: what is taken from them from now on, nobody else took.
    pub(super) fn remove_left_of_others(&self) -> Result<(), DatapathError> {
        let mut errors = Vec::new();
        for dir in self.others()? {
            remove_tree(&dir.join("left"), &mut errors);
        }
        errors.pop().map_or(Ok(()), Err)
    }

    /// Forgets other layouts; their links have to be taken over before.
    pub(super) fn remove_others(&self) -> Result<(), DatapathError> {
        let mut errors = Vec::new();
        for dir in self.others()? {
            remove_tree(&dir, &mut errors);
        }
        errors.pop().map_or(Ok(()), Err)
    }

    fn others(&self) -> Result<Vec<PathBuf>, DatapathError> {
        Ok(layouts(&self.root.path)?.into_iter().filter(|dir| *dir != self.dir).collect())
    }

    /// The directory of all pins.
    pub(super) fn root(&self) -> &Path {
        &self.root.path
    }
}

/// Takes hold of a directory for pins.
fn take(wanted: &Path, layout: u64) -> Result<(Place, PathBuf, File), DatapathError> {
    let root = bpffs::prepare(wanted)?;
    let lock = lock(&root.path)?;
    settle_namespace(&root.path)?;
    let dir = root.path.join(format!("v{layout:016x}"));
    for part in PARTS {
        bpffs::make_dir(&dir.join(part))?;
    }
    bpffs::make_dir(&dir.join(filled_mark()))?;
    Ok((root, dir, lock))
}

/// Beside the directory of a layout: a qdisc stays where it is when layouts change.
fn qdisc(dir: &Path, ifindex: u32) -> PathBuf {
    dir.with_file_name(format!("qdisc-{ifindex}"))
}

fn cgroup_link(dir: &Path, hook: SocketHook) -> PathBuf {
    dir.join("links").join(format!("cgroup-{}", hook.word()))
}

fn cgroup_links(dir: &Path) -> impl Iterator<Item = PathBuf> {
    SocketHook::ALL.map(|hook| cgroup_link(dir, hook)).into_iter().filter(|link| link.exists())
}

/// How many hooks run a layout's programs.
fn hooks_in(dir: &Path) -> Result<usize, DatapathError> {
    Ok(links_in(dir)?.len() + cgroup_links(dir).count())
}

fn filled_mark() -> String {
    format!("filled-{FILLED_REVISION}")
}

/// Detaches every link recorded below `root` and removes every pin there. All errors, not just the first.
pub(super) fn remove_everything(root: &Path) -> Vec<DatapathError> {
    let mut errors = Vec::new();
    let dirs = layouts(root).unwrap_or_else(|error| {
        errors.push(error);
        Vec::new()
    });
    for dir in dirs {
        match links_in(&dir) {
            Ok(links) => {
                errors.extend(links.iter().filter_map(|link| super::attach::remove(link, None).err()))
            }
            Err(error) => errors.push(error),
        }
        errors.extend(cgroup_links(&dir).filter_map(|link| super::sockets::remove(&link, None).err()));
        remove_tree(&dir, &mut errors);
    }
    remove_tree(root, &mut errors);
    errors
}

/// Like [`remove_everything`], where no daemon holds the pins.
pub(super) fn lock_and_remove(wanted: &Path) -> Vec<DatapathError> {
    match bpffs::prepare(wanted).and_then(|root| Ok((lock(&root.path)?, root))) {
        Ok((_lock, root)) => remove_everything(&root.path),
        Err(error) => vec![error],
    }
}

fn lock(root: &Path) -> Result<File, DatapathError> {
    let failed =
        |error: io::Error| DatapathError::caused(format_args!("cannot lock `{}`", root.display()), error);
    let lock = File::open(root).map_err(failed)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(DatapathError::new(format_args!("another daemon has the pins in `{}`", root.display()))
                .with_help("stop it, or give this one a `bpffs` directory of its own"))
        }
        Err(error) => Err(failed(error.into())),
    }
}

/// Interface indexes mean something in one network namespace only. Pins of another one are in the way while a device
/// there still has them, and rubbish afterwards.
fn settle_namespace(root: &Path) -> Result<(), DatapathError> {
    let here = namespace_mark()?;
    let marks =
        entries(root)?.into_iter().filter(|(name, _)| name.starts_with(NAMESPACE)).collect::<Vec<_>>();
    if marks.iter().any(|(name, _)| *name != here) {
        for dir in layouts(root)? {
            let live_socket = |link: PathBuf| super::sockets::is_live(&link);
            if links_in(&dir)?.iter().any(is_live) || cgroup_links(&dir).any(live_socket) {
                return Err(DatapathError::new(format_args!(
                    "the pins in `{}` belong to another network namespace",
                    root.display()
                ))
                .with_help(
                    "run `enforcer stop --detach` there, or give this one a `bpffs` directory of its own",
                ));
            }
        }
        let mut errors = Vec::new();
        for (_, path) in entries(root)? {
            remove_tree(&path, &mut errors);
        }
        errors.pop().map_or(Ok(()), Err)?;
    }
    bpffs::make_dir(&root.join(here))
}

/// The name of the mark of this network namespace.
fn namespace_mark() -> Result<String, DatapathError> {
    let failed = |error| DatapathError::caused("cannot tell which network namespace this is", error);
    // The thread's, not the process': threads can be in different ones.
    let here = fs::metadata("/proc/thread-self/ns/net").map_err(failed)?;
    Ok(format!("{NAMESPACE}{}", here.ino()))
}

fn is_live(link: &LinkPin) -> bool {
    let info = || sys::link_info(sys::open_pin(&link.path).ok()?.as_fd()).ok();
    link.kind == Kind::Tcx && info().is_some_and(|info| info.ifindex != 0)
}

/// Reads a name that [`Pins::link`] made.
pub(super) fn parse(name: &str) -> Option<(u32, Direction, Kind)> {
    let (name, kind) = match name.strip_suffix("-clsact") {
        Some(name) => (name, Kind::Clsact),
        None => (name, Kind::Tcx),
    };
    let (ifindex, direction) = name.split_once('-')?;
    let direction = [Direction::Egress, Direction::Ingress].into_iter().find(|d| d.word() == direction)?;
    Some((ifindex.parse().ok()?, direction, kind))
}

fn links_in(dir: &Path) -> Result<Vec<LinkPin>, DatapathError> {
    let mut links = Vec::new();
    for (name, path) in entries(&dir.join("links"))? {
        if let Some((ifindex, direction, kind)) = parse(&name) {
            links.push(LinkPin { ifindex, direction, kind, path, qdisc: qdisc(dir, ifindex) });
        }
    }
    links.sort_by_key(|link| (link.ifindex, link.direction));
    Ok(links)
}

fn layouts(root: &Path) -> Result<Vec<PathBuf>, DatapathError> {
    let is_layout = |name: &str| name.len() == 17 && name.starts_with('v');
    Ok(entries(root)?.into_iter().filter(|(name, _)| is_layout(name)).map(|(_, path)| path).collect())
}

/// Names and paths in a directory; nothing where there is none.
fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>, DatapathError> {
    let read = || -> io::Result<Vec<(String, PathBuf)>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
        };
        match fs::read_dir(dir) {
            Ok(entries) => entries.map(entry).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    };
    read().map_err(|error| DatapathError::caused(format_args!("cannot read `{}`", dir.display()), error))
}

fn remove_tree(path: &Path, errors: &mut Vec<DatapathError>) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            errors.push(DatapathError::caused(format_args!("cannot remove `{}`", path.display()), error));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_links_say_what_they_are() {
        assert_eq!(parse("12-egress"), Some((12, Direction::Egress, Kind::Tcx)));
        assert_eq!(
            parse("4000000000-ingress-clsact"),
            Some((4_000_000_000, Direction::Ingress, Kind::Clsact))
        );
        for name in ["", "12", "12-", "x-egress", "12-sideways", "12-egress.x"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}

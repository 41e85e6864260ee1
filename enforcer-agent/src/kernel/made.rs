//! What the pinned programs were made from: where it is what this daemon would load, they go on instead of being loaded, and checked by the kernel, anew.
//!
//! It is kept as the name of an empty directory beside the pins, written when all of them stand there and struck before any of them is replaced:
//!
//! ```text
//! <bpffs>/v<layout>/made-<digest of the object>-<tag>-…    one tag for each program, in the order of `programs::names`
//! ```
//!
//! Whoever can write there could as well put programs into the hooks; the tags tell one that was pinned in place of ours. One that reads other maps
//! than those that are pinned, or has had a part of it replaced (`freplace`), isn't taken.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use aya::maps::{MapData, MapError, MapInfo};
use tracing::{debug, warn};

use super::layout::fnv1a;
use super::pins::Pins;
use super::programs::{self, Programs};
use super::query::{self, Tag};
use super::{bpffs, sys};
use crate::datapath::DatapathError;

const MADE: &str = "made-";
/// What becomes of an object is for this build to say.
const BUILD: &str = env!("CARGO_PKG_VERSION");

/// What programs are made from: the object, and whether those for sockets are among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    digest: u64,
    sockets: bool,
}

impl Origin {
    /// Of an object, and of what it is told before it is loaded that isn't drawn anew each time.
    pub(super) fn of(object: &[u8], told: &[u8], sockets: bool) -> Self {
        let digest = fnv1a([BUILD.as_bytes(), told, object].into_iter().flatten().copied());
        Self { digest, sockets }
    }

    /// The programs that are pinned, if they are made from this and read the maps of these names as they are pinned.
    pub(super) fn find(&self, pins: &Pins, maps: &[String]) -> Option<Programs> {
        match self.is_pinned(pins, maps) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                debug!(%error, "cannot tell whether the pinned programs would do");
                return None;
            }
        }
        let found = Programs::adopt(pins, self.sockets);
        found.inspect_err(|error| debug!(error = error as &dyn Error, "cannot take the pinned programs")).ok()
    }

    fn is_pinned(&self, pins: &Pins, maps: &[String]) -> io::Result<bool> {
        let mut tags = Vec::new();
        let pinned = maps.iter().map(|name| MapInfo::from_pin(pins.map(name)).map(|map| map.id()));
        let pinned: BTreeSet<u32> = pinned.collect::<Result<_, _>>().map_err(io::Error::other)?;
        let mut ids = BTreeSet::new();
        for name in programs::names(self.sockets) {
            let program = sys::open_pin(&pins.program(name))?;
            tags.push(query::tag(program.as_fd())?);
            ids.insert(query::id(program.as_fd())?);
            for map in query::maps(program.as_fd())? {
                // Its constants are its own, and aren't pinned.
                if !pinned.contains(&map) && !is_own(map).map_err(io::Error::other)? {
                    return Ok(false);
                }
            }
        }
        Ok(marks(pins.layout_dir())? == [self.mark(&tags)] && !are_extended(&ids)?)
    }

    /// Writes down that all programs that are pinned are made from this.
    pub(super) fn settle(&self, pins: &Pins, programs: &Programs) -> Result<(), DatapathError> {
        let untagged = |error| DatapathError::caused("cannot ask for a program's tag", error);
        let all = programs.all()?;
        let tags: Vec<Tag> = all
            .iter()
            .map(|(_, program)| query::tag(program.as_fd()).map_err(untagged))
            .collect::<Result<_, _>>()?;
        bpffs::make_dir(&pins.layout_dir().join(self.mark(&tags)))
    }

    fn mark(&self, tags: &[Tag]) -> String {
        let tags = tags.iter().map(|tag| format!("-{:016x}", u64::from_be_bytes(*tag)));
        format!("{MADE}{:016x}{}", self.digest, tags.collect::<String>())
    }
}

/// Whether a map is a section of ordinary data.
fn is_own(map: u32) -> Result<bool, MapError> {
    let info = MapData::from_id(map)?.info()?;
    Ok(info.name_as_str().is_some_and(|name| name.starts_with('.')))
}

/// Before a program is replaced: what stands there may be anything from now on.
pub(super) fn strike(pins: &Pins) {
    let struck = marks(pins.layout_dir())
        .and_then(|marks| marks.iter().try_for_each(|mark| fs::remove_dir(pins.layout_dir().join(mark))));
    if let Err(error) = struck {
        // The tags tell programs from others too.
        warn!(%error, "cannot forget what the pinned programs were made from");
    }
}

fn marks(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<io::Result<_>>()?;
    Ok(names.into_iter().filter(|name| name.starts_with(MADE)).collect())
}

/// Whether a part of one of these programs was replaced by somebody else's.
fn are_extended(programs: &BTreeSet<u32>) -> io::Result<bool> {
    let mut last = 0;
    while let Some(link) = query::next_link(last)? {
        last = link;
        if query::extension(link)?.is_some_and(|extension| programs.contains(&extension.target)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_object_constant_or_program_is_another_origin() {
        let origin = Origin::of(b"object", &[1], true);
        assert_eq!(origin, Origin::of(b"object", &[1], true));
        assert_ne!(origin, Origin::of(b"objecu", &[1], true));
        assert_ne!(origin, Origin::of(b"object", &[0], true));
        let mark = origin.mark(&[[0, 0, 0, 0, 0, 0, 1, 2], [255; 8]]);
        assert!(mark.starts_with("made-") && mark.ends_with("-0000000000000102-ffffffffffffffff"), "{mark}");
        assert_ne!(mark, origin.mark(&[[0, 0, 0, 0, 0, 0, 1, 2], [254; 8]]));
    }
}

//! Another release: this build, but for the size of a map. Its maps are another layout, as a release's are that knows one reason more.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, ensure};
use enforcer_agent::kernel::object;
use enforcer_common::flow::{FlowEntry, FlowKey};
use enforcer_common::maps::{ReasonCounter, Tally, limits};

/// What the other release has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Larger {
    /// One reason more.
    Reasons,
    /// One established IPv4 flow more.
    Flows4,
}

impl Larger {
    /// The map as the object defines it: type, sizes of key and value, entries, flags.
    fn definition(self) -> [u32; 5] {
        const HASH: u32 = 1;
        const PERCPU_ARRAY: u32 = 6;
        match self {
            Self::Reasons => [PERCPU_ARRAY, 4, size_of::<ReasonCounter>() as u32, Tally::COUNT, 0],
            Self::Flows4 => {
                [HASH, size_of::<FlowKey<1>>() as u32, size_of::<FlowEntry>() as u32, limits::FLOWS, 0]
            }
        }
    }

    /// The other release's kernel programs.
    pub fn object(self) -> Result<Vec<u8>> {
        self.enlarge(object::object().context("this build can't load programs")?.to_vec())
    }

    /// The other release's binary, made of this one's and put into `dir`.
    pub fn binary(self, program: &Path, dir: &Path) -> Result<PathBuf> {
        let made = || -> io::Result<PathBuf> {
            // With its mode.
            let other = dir.join(format!("enforcer-{self:?}").to_lowercase());
            fs::copy(program, &other)?;
            Ok(other)
        };
        let other = made().context("cannot copy the binary")?;
        let bytes = self.enlarge(fs::read(&other).context("cannot read the binary")?)?;
        fs::write(&other, bytes).context("cannot write the other binary")?;
        Ok(other)
    }

    fn enlarge(self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let wanted: Vec<u8> = self.definition().iter().flat_map(|number| number.to_le_bytes()).collect();
        let places: Vec<usize> = bytes
            .windows(wanted.len())
            .enumerate()
            .filter(|(_, there)| *there == wanted)
            .map(|(at, _)| at)
            .collect();
        ensure!(places.len() == 1, "the definition of the map stands at {places:?}, and not in one place");
        let entries = places[0] + 3 * size_of::<u32>();
        let larger = self.definition()[3] + 1;
        bytes[entries..entries + size_of::<u32>()].copy_from_slice(&larger.to_le_bytes());
        Ok(bytes)
    }
}

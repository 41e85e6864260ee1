//! Policy files on disk: which ones a path means, and their text.

mod cache;
mod list;
mod revision;

pub(crate) use cache::Cache;
pub(crate) use list::list;
pub(crate) use revision::Revision;

use enforcer_policy::source::Source;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Larger files are refused, so that a stray device or log can't exhaust the memory.
const LARGEST: u64 = 256 << 20;

/// A path that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which one.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl Unreadable {
    fn new(path: &Path, why: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), why: why.to_string() }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not read `{}`: {}", self.path.display().to_string().escape_debug(), self.why)
    }
}

/// Every policy file that these paths mean, in reading order. `-` is stdin. All unreadable ones are named at once.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Source>, Vec<Unreadable>> {
    let mut sources = Vec::new();
    let mut unreadable = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            match text("-".as_ref(), io::stdin()) {
                Ok(text) => sources.push(Source::new("stdin", text)),
                Err(error) => unreadable.push(error),
            }
            continue;
        }
        let listing = list(path);
        unreadable.extend(listing.unreadable);
        for file in listing.files {
            match read_file(&file) {
                Ok(source) => sources.push(source),
                Err(error) => unreadable.push(error),
            }
        }
    }
    if unreadable.is_empty() { Ok(sources) } else { Err(unreadable) }
}

/// One file's text under its path.
pub(crate) fn read_file(path: &Path) -> Result<Source, Unreadable> {
    let file = File::open(path).map_err(|error| Unreadable::new(path, error))?;
    Ok(Source::new(path.to_string_lossy(), text(path, file)?))
}

fn text(path: &Path, from: impl Read) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| Unreadable::new(path, error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Unreadable::new(path, format_args!("it has more than {LARGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        Unreadable::new(path, format_args!("it isn't UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    })
}

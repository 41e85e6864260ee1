//! Lines in a file that is begun anew when it is full. The last few full ones are kept: `records.jsonl.1` is the youngest.
//!
//! Every line is whole: what could be written of one only in part is taken back. Files are appended to across restarts, and a file that others moved
//! away is made anew.

use super::line::Line;
use super::{Sink, Taken};
use enforcer_policy::model::RecordFile;
use rustix::fs::OFlags;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file, and where it stands.
#[derive(Debug)]
pub(super) struct RotatingFile {
    settings: RecordFile,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Bytes of whole lines.
    size: u64,
    /// Which file it is.
    identity: (u64, u64),
}

impl RotatingFile {
    pub(super) fn new(settings: RecordFile) -> Self {
        Self { settings, open: None }
    }

    fn write(&mut self, lines: &[Line]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < lines.len() {
            match self.some(&lines[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    /// Writes as many lines as go into the file that is open, at least one; how many.
    fn some(&mut self, lines: &[Line]) -> io::Result<usize> {
        if self.open.as_ref().is_some_and(|open| is_elsewhere(&self.settings.path, open.identity)) {
            self.open = None;
        }
        let full = |open: &Open, more: usize| {
            open.size > 0 && open.size.saturating_add(more as u64 + 1) > self.settings.size
        };
        let first = lines.first().map_or(0, |line| line.text.len());
        if self.open.as_ref().is_some_and(|open| full(open, first)) {
            self.open = None;
            rotate(&self.settings.path, self.settings.keep)?;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::new(&self.settings.path)?,
        };
        if full(&open, first) {
            rotate(&self.settings.path, self.settings.keep)?;
            open = Open::new(&self.settings.path)?;
        }
        let mut text = String::new();
        let mut count = 0;
        for line in lines {
            if count > 0 && open.size + (text.len() + line.text.len()) as u64 + 1 > self.settings.size {
                break;
            }
            text.push_str(&line.text);
            text.push('\n');
            count += 1;
        }
        let written = open.append(text.as_bytes());
        let whole = match &written {
            Ok(()) => count,
            Err((whole, _)) => text.as_bytes()[..*whole].iter().filter(|byte| **byte == b'\n').count(),
        };
        self.open = Some(open);
        match written {
            Err((_, error)) if whole == 0 => Err(error),
            _ => Ok(whole),
        }
    }
}

impl Sink for RotatingFile {
    fn name(&self) -> &'static str {
        "file"
    }

    fn take(&mut self, lines: &[Line]) -> Taken {
        let (written, ended) = self.write(lines);
        let named = |error: io::Error| {
            // The next line tries it all anew.
            self.open = None;
            io::Error::new(error.kind(), format!("{}: {error}", self.settings.path.display()))
        };
        Taken { written, error: ended.err().map(named) }
    }
}

impl Open {
    /// Opens the file, or makes it. Half a line that a crash left is ended.
    fn new(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o750).create(parent)?;
        }
        // A link that others put there isn't followed, and a pipe isn't waited for.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o640).custom_flags(flags);
        let mut file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut open = Self {
            size: metadata.len(),
            identity: (metadata.dev(), metadata.ino()),
            file: file.try_clone()?,
        };
        if open.size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                open.append(b"\n").map_err(|(_, error)| error)?;
            }
        }
        Ok(open)
    }

    /// Appends text that ends with a line; or else, as many of its bytes as are whole lines, and why no more.
    fn append(&mut self, text: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < text.len() {
            match self.file.write(&text[written..]) {
                Ok(0) => return Err(self.cut(text, written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.cut(text, written, error)),
            }
        }
        self.size += written as u64;
        Ok(())
    }

    /// Takes back what isn't a whole line.
    fn cut(&mut self, text: &[u8], written: usize, error: io::Error) -> (usize, io::Error) {
        let whole = text[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.size += whole as u64;
        match self.file.set_len(self.size) {
            Ok(()) => (whole, error),
            Err(worse) => (whole, worse),
        }
    }
}

/// Whether what stands at the path isn't this file any more.
fn is_elsewhere(path: &Path, identity: (u64, u64)) -> bool {
    fs::symlink_metadata(path).map_or(true, |found| (found.dev(), found.ino()) != identity)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Makes room for a new file. The oldest goes.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return absent(fs::remove_file(path));
    }
    for number in (1..keep).rev() {
        absent(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
    }
    absent(fs::rename(path, numbered(path, 1)))
}

/// What isn't there needs no room.
fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;

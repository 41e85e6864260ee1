//! Several recordings, read as one in the order of their times.

use super::recordings::{bar, unread};
use crate::command::Failure;
use enforcer_audit::Intake;
use enforcer_flows::{Input, Item, Options, Sinks, Summary, merge};
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A recording by its name.
struct Named<'a> {
    /// `None` is stdin.
    path: Option<&'a Path>,
    bar: ProgressBar,
}

impl Named<'_> {
    fn name(&self) -> String {
        self.path.map_or_else(|| "stdin".to_owned(), |path| path.display().to_string())
    }
}

impl Input for Named<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let input: Box<dyn Read + Send> = match self.path {
            Some(path) => Box::new(File::open(path)?),
            None => Box::new(io::stdin()),
        };
        Ok(Box::new(self.bar.wrap_read(input)))
    }

    /// What is no file on a disk can't be read twice.
    fn look(&self) -> Option<io::Result<Box<dyn Read + Send>>> {
        let path = self.path?;
        match fs::metadata(path) {
            Ok(meta) if !meta.is_file() => None,
            Ok(_) => Some(File::open(path).map(|file| Box::new(file) as Box<dyn Read + Send>)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Hands everything on with its recording.
struct Onward<'a, I> {
    intake: &'a mut I,
    /// Whose turn it is.
    turn: Option<usize>,
    /// What the readers of those that have ended counted. An intake that has to see a recording whole has to see all of them.
    ended: Vec<(usize, Summary)>,
}

impl<I: Intake> Onward<'_, I> {
    fn turn(&mut self, source: usize) {
        if self.turn != Some(source) {
            self.turn = Some(source);
            self.intake.turn(source);
        }
    }
}

impl<I: Intake> Sinks for Onward<'_, I> {
    fn take(&mut self, source: usize, item: Item<'_>) {
        self.turn(source);
        self.intake.take(item);
    }

    fn end(&mut self, source: usize, summary: &Summary) {
        self.ended.push((source, summary.clone()));
    }
}

/// Reads all of them to their ends, into an intake that has begun none. `-` is stdin.
pub(super) fn take(paths: &[&PathBuf], options: &Options, intake: &mut impl Intake) -> Result<(), Failure> {
    let lengths =
        paths.iter().map(|path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|meta| meta.len()));
    let bar = bar(lengths.sum(), &format!("{} recordings", paths.len()));
    let named = paths.iter().map(|path| {
        let path = Some(path.as_path()).filter(|path| *path != Path::new("-"));
        Named { path, bar: bar.clone() }
    });
    let named: Vec<Named<'_>> = named.collect();
    named.iter().for_each(|one| intake.begin(&one.name()));
    let inputs: Vec<&dyn Input> = named.iter().map(|one| one as &dyn Input).collect();
    let mut onward = Onward { intake, turn: None, ended: Vec::new() };
    let result = merge(&inputs, &vec![options.clone(); inputs.len()], &mut onward);
    for (source, summary) in std::mem::take(&mut onward.ended) {
        onward.turn(source);
        onward.intake.end(&summary);
    }
    bar.finish_and_clear();
    result.map_err(|(source, error)| unread(error, &named[source].name()))
}

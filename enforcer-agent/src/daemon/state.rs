//! What outlives the daemon: the applied set, those before it, the last good live set, who is cut off and what is attested.
//!
//! Every file is replaced whole: written aside, flushed, renamed, and the directory flushed.

use crate::protocol::{PolicyFile, QuarantineStatus};
use crate::sources::Container;
use anyhow::{Context, Result, bail};
use enforcer_policy::model::Labels;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, IntoInnerError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Applied sets that `rollback` can go back through.
const HISTORY: usize = 16;
const APPLIED: &str = "applied.json";
const LAST_GOOD: &str = "last-good.json";
const QUARANTINES: &str = "quarantines.json";
const TRIAL: &str = "trial.json";
const POSTURES: &str = "postures.json";
const CONTAINERS: &str = "containers.json";

/// An applied set as it is kept.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    schema: String,
    /// When it was applied, RFC 3339.
    pub at: String,
    /// Its files.
    pub files: Vec<PolicyFile>,
}

impl Applied {
    /// A set applied now.
    #[must_use]
    pub fn new(files: Vec<PolicyFile>) -> Self {
        Self { schema: "enforcer.applied/v1".to_owned(), at: jiff::Timestamp::now().to_string(), files }
    }
}

/// The live set that was last put in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastGood<N> {
    /// `enforcer.last-good/v1`.
    pub schema: String,
    /// Policy sets put in force so far.
    pub generation: u64,
    /// When it was put in force, RFC 3339.
    pub since: String,
    /// Its files, watched and applied.
    pub files: Vec<PolicyFile>,
    /// Numbers of its identities and rules.
    pub numbers: N,
}

/// Who is cut off, as it is kept.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Quarantines {
    schema: String,
    quarantines: Vec<QuarantineStatus>,
}

/// What was attested, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Postures {
    schema: String,
    postures: Vec<KeptPosture>,
}

/// What was attested of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPosture {
    /// Its name.
    pub workload: String,
    /// The labels.
    pub labels: Labels,
    /// Until when; counts after a reboot.
    pub until: Timestamp,
    /// Until when by the clock of [`KeptPosture::boot`], nanoseconds.
    pub until_boot: u64,
    /// The boot in which it was attested.
    pub boot: String,
}

/// That an applied set is in force on trial: what counts on disk is still the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnTrial {
    /// `enforcer.trial/v1`.
    pub schema: String,
    /// When it was applied, RFC 3339.
    pub since: String,
    /// When it is rolled back.
    pub until: String,
}

/// Containers as they are kept.
#[derive(Debug, Serialize, Deserialize)]
struct Containers {
    schema: String,
    /// Ids of processes mean nothing across boots.
    boot: String,
    containers: Vec<Container>,
}

/// The state directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// An applied set that is on disk but doesn't count yet.
#[derive(Debug)]
#[must_use]
pub struct Staged {
    aside: PathBuf,
    place: PathBuf,
}

impl StateDir {
    /// Makes the directory where it isn't there.
    pub fn open(path: &Path) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path.join("history"));
        made.with_context(|| format!("could not make the state directory `{}`", path.display()))?;
        Ok(Self { path: path.to_owned() })
    }

    /// The applied set; empty where nothing was ever applied.
    pub fn applied(&self) -> Result<Applied> {
        Ok(read(&self.path.join(APPLIED))?.unwrap_or_default())
    }

    /// Writes an applied set aside.
    pub fn stage(&self, applied: &Applied) -> Result<Staged> {
        let place = self.path.join(APPLIED);
        Ok(Staged { aside: write_aside(&place, applied)?, place })
    }

    /// Remembers the set that is about to be replaced.
    pub fn remember(&self, applied: &Applied) -> Result<PathBuf> {
        let known = self.history()?;
        let number = known.last().map_or(0, |(number, _)| number + 1);
        let place = self.path.join("history").join(format!("{number:08}.json"));
        write(&place, applied)?;
        for (_, old) in known.iter().take((known.len() + 1).saturating_sub(HISTORY)) {
            // One set too many is kept where this fails.
            let _ = fs::remove_file(old);
        }
        Ok(place)
    }

    /// The newest remembered set, and where it is kept.
    pub fn newest(&self) -> Result<Option<(Applied, PathBuf)>> {
        let Some((_, place)) = self.history()?.pop() else { return Ok(None) };
        match read(&place)? {
            Some(applied) => Ok(Some((applied, place))),
            None => bail!("`{}` has just gone", place.display()),
        }
    }

    /// Forgets a remembered set.
    pub fn forget(&self, place: &Path) -> Result<()> {
        fs::remove_file(place).with_context(|| format!("could not remove `{}`", place.display()))
    }

    /// The live set that was last in force.
    pub fn last_good<N: DeserializeOwned>(&self) -> Result<Option<LastGood<N>>> {
        read(&self.path.join(LAST_GOOD))
    }

    /// Keeps the live set that is in force now.
    pub fn keep<N: Serialize>(&self, good: &LastGood<N>) -> Result<()> {
        write(&self.path.join(LAST_GOOD), good)
    }

    /// Who is cut off.
    pub fn quarantines(&self) -> Result<Vec<QuarantineStatus>> {
        let kept: Option<Quarantines> = read(&self.path.join(QUARANTINES))?;
        Ok(kept.unwrap_or_default().quarantines)
    }

    /// Keeps who is cut off.
    pub fn keep_quarantines(&self, quarantines: &[QuarantineStatus]) -> Result<()> {
        let schema = "enforcer.quarantines/v1".to_owned();
        write(&self.path.join(QUARANTINES), &Quarantines { schema, quarantines: quarantines.to_vec() })
    }

    /// What was attested.
    pub fn postures(&self) -> Result<Vec<KeptPosture>> {
        let kept: Option<Postures> = read(&self.path.join(POSTURES))?;
        Ok(kept.unwrap_or_default().postures)
    }

    /// Keeps what is attested.
    pub fn keep_postures(&self, postures: Vec<KeptPosture>) -> Result<()> {
        let schema = "enforcer.postures/v1".to_owned();
        write(&self.path.join(POSTURES), &Postures { schema, postures })
    }

    /// The trial that is, or was when the last daemon ended.
    pub fn trial(&self) -> Result<Option<OnTrial>> {
        read(&self.path.join(TRIAL))
    }

    /// Says that an applied set is on trial, or that none is.
    pub fn keep_trial(&self, trial: Option<&OnTrial>) -> Result<()> {
        let place = self.path.join(TRIAL);
        if let Some(trial) = trial {
            return write(&place, trial);
        }
        match fs::remove_file(&place) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("could not remove `{}`", place.display())),
        }
    }

    /// The containers that were last known, as far as they were of this boot.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let kept: Option<Containers> = read(&self.path.join(CONTAINERS))?;
        Ok(kept.filter(|kept| kept.boot == boot()).map(|kept| kept.containers).unwrap_or_default())
    }

    /// Keeps the containers that are known now.
    pub fn keep_containers(&self, containers: Vec<Container>) -> Result<()> {
        let schema = "enforcer.containers/v1".to_owned();
        write(&self.path.join(CONTAINERS), &Containers { schema, boot: boot(), containers })
    }

    /// Remembered sets by number.
    fn history(&self) -> Result<Vec<(u64, PathBuf)>> {
        let directory = self.path.join("history");
        let context = || format!("could not read `{}`", directory.display());
        let mut known = Vec::new();
        for entry in fs::read_dir(&directory).with_context(context)? {
            let path = entry.with_context(context)?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path.extension().is_some_and(|end| end == "json")
                && let Some(number) = stem.and_then(|stem| stem.parse().ok())
            {
                known.push((number, path));
            }
        }
        known.sort_unstable();
        Ok(known)
    }
}

impl Staged {
    /// From now on it is the applied set, across restarts too.
    pub fn commit(self) -> Result<()> {
        rename(&self.aside, &self.place)
    }
}

/// The kernel's name for the time since it booted.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("could not read `{}`", path.display())),
    };
    serde_json::from_slice(&text).with_context(|| format!("`{}` is damaged", path.display()))
}

fn write(place: &Path, value: &impl Serialize) -> Result<()> {
    rename(&write_aside(place, value)?, place)
}

fn write_aside(place: &Path, value: &impl Serialize) -> Result<PathBuf> {
    let aside = place.with_extension("new");
    let context = || format!("could not write `{}`", aside.display());
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
    // Piece by piece: a large set isn't held as one text as well.
    let mut file = BufWriter::new(opened.with_context(context)?);
    serde_json::to_writer(&mut file, value).with_context(context)?;
    let file = file.into_inner().map_err(IntoInnerError::into_error).with_context(context)?;
    file.sync_all().with_context(context)?;
    Ok(aside)
}

fn rename(aside: &Path, place: &Path) -> Result<()> {
    let context = || format!("could not put `{}` in its place", place.display());
    fs::rename(aside, place).with_context(context)?;
    let directory = place.parent().map_or(Path::new("."), |parent| parent);
    File::open(directory).and_then(|directory| directory.sync_all()).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str) -> Applied {
        Applied::new(vec![PolicyFile { name: name.to_owned(), text: "text".to_owned() }])
    }

    #[test]
    fn a_staged_set_counts_only_once_it_is_committed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        assert_eq!(state.applied().unwrap(), Applied::default());
        let staged = state.stage(&set("a")).unwrap();
        assert_eq!(state.applied().unwrap(), Applied::default());
        staged.commit().unwrap();
        assert_eq!(state.applied().unwrap().files[0].name, "a");
    }

    #[test]
    fn history_is_bounded_and_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        assert!(state.newest().unwrap().is_none());
        for number in 0..20 {
            state.remember(&set(&number.to_string())).unwrap();
        }
        assert_eq!(state.history().unwrap().len(), HISTORY);
        for number in (4..20).rev() {
            let (applied, place) = state.newest().unwrap().unwrap();
            assert_eq!(applied.files[0].name, number.to_string());
            state.forget(&place).unwrap();
        }
        assert!(state.newest().unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        fs::write(dir.path().join(APPLIED), "{").unwrap();
        let error = state.applied().unwrap_err();
        assert!(error.to_string().ends_with("applied.json` is damaged"), "{error}");
    }
}

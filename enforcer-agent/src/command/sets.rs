//! Policy sets named on the command line: files, a revision, or what a daemon enforces.

use super::{Failure, daemon, findings, input};
use crate::client::call;
use crate::daemon::clock::Instants;
use crate::exit::Exit;
use crate::files::Revision;
use crate::output::note;
use crate::pipeline::{Ready, Surroundings, prepare};
use crate::protocol::LiveSet;
use enforcer_policy::compile::Numbers;
use enforcer_policy::document::{ParsedFile, parse_file};
use enforcer_policy::model::SegmentMode;
use enforcer_policy::source::Source;
use hyper::Method;
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a policy set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A file or a directory; `-` is stdin.
    Path(PathBuf),
    /// `git:REV:PATH`.
    Git(String),
    /// What the daemon has in force.
    Live,
}

impl FromStr for Named {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "live" => Self::Live,
            _ if text.starts_with("git:") => Self::Git(text.to_owned()),
            _ => Self::Path(text.into()),
        })
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display().to_string().escape_debug()),
            Self::Git(text) => write!(f, "{}", text.escape_debug()),
            Self::Live => f.write_str("live"),
        }
    }
}

/// The text of a set, and what it is compiled for.
pub(super) struct Loaded {
    named: Named,
    files: Vec<ParsedFile>,
    /// Known where the set is a daemon's.
    pub(super) around: Option<Surroundings>,
}

impl Named {
    /// Reads the set's files. `socket` is asked for only where a daemon is.
    pub(super) fn load(&self, socket: &Path) -> Result<Loaded, Failure> {
        let (files, around) = match self {
            Self::Path(path) => (input::parsed(std::slice::from_ref(path))?, None),
            Self::Git(text) => {
                let revision: Revision = text.parse().map_err(anyhow::Error::msg)?;
                let sources = revision.read(Path::new(".")).map_err(|error| anyhow::anyhow!("{error}"))?;
                if sources.is_empty() {
                    return Err(anyhow::anyhow!("there is no policy file in `{self}`").into());
                }
                (sources.iter().map(parse_file).collect(), None)
            }
            Self::Live => {
                let set: LiveSet = daemon::converse(call(socket, Method::GET, "/v1/policies", None::<&()>))?;
                // A mode that this version doesn't know can only be a stricter one.
                let default_mode = SegmentMode::from_word(&set.default_mode).unwrap_or_default();
                let around = Surroundings { host: set.host, default_mode, ..Surroundings::default() };
                let files = set.files.iter().map(|file| parse_file(&Source::new(&*file.name, &*file.text)));
                (files.collect(), Some(around))
            }
        };
        Ok(Loaded { named: self.clone(), files, around })
    }
}

impl Loaded {
    /// Checks and compiles the set. Where it is in error, says so on stderr.
    pub(super) fn prepare(&self, around: &Surroundings, now: Instants) -> Result<Ready, Exit> {
        prepare(&self.files, around, now, Numbers::default()).map_err(|found| {
            findings::show(found.iter().filter(|finding| finding.is_error()));
            note(format_args!("error: the policy set `{}` is invalid", self.named));
            Exit::Invalid
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_told_by_its_name() {
        let named = |text: &str| text.parse::<Named>().unwrap();
        assert_eq!(named("live"), Named::Live);
        assert_eq!(named("./live"), Named::Path("./live".into()));
        assert_eq!(named("git:HEAD:policies"), Named::Git("git:HEAD:policies".to_owned()));
        assert_eq!(named("policies/a.yaml"), Named::Path("policies/a.yaml".into()));
    }
}

//! Files to something that can be put in force: parsed, checked, compiled. The command line and the daemon
//! both go through here, so what `check` accepts the daemon accepts.

use crate::daemon::clock::Instants;
use crate::daemon::engine::posture::Posture;
use crate::protocol::Finding;
use crate::sources::{self, Documents, Joined};
use crate::unsupported;
use enforcer_policy::check::assemble;
use enforcer_policy::compile::{Compiled, Inputs, Numbers, compile};
use enforcer_policy::document::ParsedFile;
use enforcer_policy::model::{PolicySet, SegmentMode};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a set is compiled for.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// The machine's own addresses.
    pub(crate) host: Vec<IpAddr>,
    /// Mode of workloads that no segment selects.
    pub(crate) default_mode: SegmentMode,
    /// Containers that run here.
    pub(crate) containers: sources::Surroundings,
    /// What is attested, by workload.
    pub(crate) postures: BTreeMap<String, Posture>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            host: Vec::new(),
            default_mode: SegmentMode::Enforce,
            containers: sources::Surroundings::default(),
            postures: BTreeMap::new(),
        }
    }
}

/// A set that can be put in force.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Its documents, and its containers' workloads behind theirs.
    pub(crate) set: PolicySet,
    /// What of the documents concerns containers.
    pub(crate) documents: Documents,
    /// Who the containers are.
    pub(crate) joined: Joined,
    /// Its tables.
    pub(crate) compiled: Compiled,
    /// Numbers of its identities and rules.
    pub(crate) numbers: Numbers,
    /// What is allowed but probably not meant.
    pub(crate) warnings: Vec<Finding>,
    /// What it asks for and this build doesn't do.
    pub(crate) not_yet_enforced: Vec<Finding>,
}

/// A set of documents without errors.
#[derive(Debug)]
pub(crate) struct Sound {
    /// The documents.
    pub(crate) set: PolicySet,
    /// What is allowed but probably not meant.
    pub(crate) warnings: Vec<Finding>,
    /// What it asks for and this build doesn't do.
    pub(crate) not_yet_enforced: Vec<Finding>,
}

/// Checks files as one set; everything that is wrong with it, at once.
pub(crate) fn check<'a>(
    files: impl IntoIterator<Item = &'a ParsedFile>,
    now: Instants,
) -> Result<Sound, Vec<Finding>> {
    let files: Vec<&ParsedFile> = files.into_iter().collect();
    let checked = assemble(files.iter().copied(), now.wall);
    let findings: Vec<Finding> = checked.diagnostics.iter().map(Finding::from).collect();
    if checked.has_errors() {
        return Err(findings);
    }
    let sources = || files.iter().map(|file| file.source());
    // All that documents can ask for is done. What comes next begins here.
    let not_yet_enforced = Vec::new();
    let mut warnings = findings;
    warnings.extend(unsupported::configs(&checked.set, sources()));
    Ok(Sound { set: checked.set, warnings, not_yet_enforced })
}

impl Sound {
    /// Compiles the set, going on from the numbers of the one before.
    pub(crate) fn compile(
        mut self,
        around: &Surroundings,
        now: Instants,
        mut numbers: Numbers,
    ) -> Result<Ready, Vec<Finding>> {
        let (documents, joined) = sources::join_set(&mut self.set, &around.containers);
        if !around.postures.is_empty() {
            for workload in &mut self.set.workloads {
                workload.set_lease(around.postures.get(&workload.name).map(|posture| posture.lease(now)));
            }
        }
        let inputs = Inputs {
            set: &self.set,
            host: &around.host,
            default_mode: around.default_mode,
            clock: now.clock(),
        };
        match compile(&inputs, &mut numbers) {
            Ok(compiled) => {
                let Self { set, warnings, not_yet_enforced } = self;
                Ok(Ready { set, documents, joined, compiled, numbers, warnings, not_yet_enforced })
            }
            Err(error) => {
                let finding = Finding::placeless("error", error.to_string()).help(error.help());
                let mut findings = self.warnings;
                findings.push(finding);
                Err(findings)
            }
        }
    }
}

/// [`check`] and [`Sound::compile`] in one.
pub(crate) fn prepare<'a>(
    files: impl IntoIterator<Item = &'a ParsedFile>,
    around: &Surroundings,
    now: Instants,
    numbers: Numbers,
) -> Result<Ready, Vec<Finding>> {
    check(files, now)?.compile(around, now, numbers)
}

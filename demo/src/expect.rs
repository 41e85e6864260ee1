//! What the documents say should happen, by the reference evaluator: it shares no code with what the daemon runs.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use enforcer_policy::check;
use enforcer_policy::diagnostic::Colour;
use enforcer_policy::model::{PolicySet, SegmentMode};
use enforcer_policy::reference;
use enforcer_policy::source::Source;
use enforcer_tests::Protocol;
use jiff::Timestamp;

use crate::shop::{Case, Shop};

/// Reads and checks the documents in one directory.
pub(crate) fn read(dir: &Path) -> Result<PolicySet> {
    let entries = dir.read_dir().with_context(|| format!("cannot read `{}`", dir.display()))?;
    let mut paths: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        sources.push(Source::new(name, text));
    }
    let checked = check::parse(&sources, Timestamp::now());
    if checked.has_errors() {
        bail!("the documents in `{}` are in error:\n{}", dir.display(), checked.render(Colour::Never));
    }
    Ok(checked.set)
}

/// What should happen to one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) passes: bool,
    /// The deciding rule, or the reason where none decides.
    pub(crate) cause: String,
}

/// Answers from the documents alone.
pub(crate) struct Oracle<'a> {
    world: reference::World<'a>,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(set: &'a PolicySet) -> Self {
        // No attempt has the host at one end, so its addresses don't matter.
        let world =
            reference::World { set, hosts: &[], default_mode: SegmentMode::Enforce, now: Timestamp::now() };
        Self { world }
    }

    /// What should happen to an attempt.
    pub(crate) fn expects(&self, shop: &Shop, case: &Case) -> Expected {
        let address = |index: usize| -> IpAddr { shop.workloads[index].address(case.v6) };
        let (from, to) = (self.world.end(address(case.from)), self.world.end(address(case.to)));
        let (protocol, port) = numbers(case);
        let path = self.world.judge_path(&from, &to, protocol, port);
        Expected { passes: path.verdict.passes, cause: path.verdict.cause.to_string() }
    }
}

/// The protocol number, and the port as rules are matched: type and code for echo requests.
fn numbers(case: &Case) -> (u8, u16) {
    match (case.protocol, case.v6) {
        (Protocol::Tcp(port), _) => (6, port),
        (Protocol::Udp(port), _) => (17, port),
        (Protocol::Sctp(port), _) => (132, port),
        (Protocol::Ping, false) => (1, 8 << 8),
        (Protocol::Ping, true) => (58, 128 << 8),
    }
}

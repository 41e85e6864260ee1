//! The cases as tests: each of the catalogue's cases is one, so the table and the tests can't drift apart.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};

use super::judges::{Judge, Memory, Programs};
use super::{Case, Outcome, Scene, Step, catalogue};
use crate::world;

/// Where outcomes are added, one line each, if it is set.
const RESULTS: &str = "ENFORCER_EVASION_RESULTS";
/// `BPF_PROG_TEST_RUN` makes no packets of frames that end before their addresses do.
const TOO_SHORT: &str = "short";

/// What judges the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Tables in memory.
    Memory,
    /// The kernel programs.
    Programs,
}

impl Level {
    fn judge(self) -> Box<dyn Judge> {
        match self {
            Self::Memory => Box::new(Memory::new()),
            Self::Programs => Box::new(Programs::new(world!())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "1",
            Self::Programs => "2",
        }
    }
}

/// Runs the catalogue's cases as a test executable does: filters, `--list` and the closing line are libtest's.
#[must_use]
pub fn run(level: Level) -> ExitCode {
    // Made when the first case needs it: listing takes no privileges. One after the other, as they share it.
    let shared: Arc<Mutex<Option<Box<dyn Judge>>>> = Arc::default();
    let mut trials = Vec::new();
    for case in catalogue().into_iter().flat_map(|section| section.attacks).flat_map(|attack| attack.cases) {
        let shared = Arc::clone(&shared);
        trials.push(Trial::test(case.name, move || {
            let mut judge = shared.lock().unwrap_or_else(PoisonError::into_inner);
            play(case, level, judge.get_or_insert_with(|| level.judge()).as_mut())
        }));
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    // The world goes before the process does.
    shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    conclusion.exit_code()
}

fn play(case: Case, level: Level, judge: &mut dyn Judge) -> Result<(), Failed> {
    let mut steps = Vec::new();
    judge.play(&mut |judge| {
        let mut scene = Scene::new(judge);
        (case.play)(&mut scene);
        steps = scene.end();
    });
    let faults: Vec<String> = steps.iter().filter(|step| !held(step)).map(shown).collect();
    let held = faults.is_empty() && steps.iter().any(|step| step.seen.is_some());
    write(Outcome { test: case.name.to_owned(), level: level.name().to_owned(), held: Some(held), steps })?;
    if held { Ok(()) } else { Err(format!("\n{}", faults.join("\n")).into()) }
}

fn held(step: &Step) -> bool {
    match &step.seen {
        Some(seen) => *seen == step.expected,
        None => step.expected == TOO_SHORT,
    }
}

fn shown(step: &Step) -> String {
    let seen = step.seen.as_deref().unwrap_or("no packet could be made of it");
    format!("  {}: expected {}, seen {seen}", step.note, step.expected)
}

fn write(outcome: Outcome) -> Result<(), Failed> {
    let Some(path) = std::env::var_os(RESULTS).map(PathBuf::from) else { return Ok(()) };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok(writeln!(file, "{}", serde_json::to_string(&outcome)?)?)
}

//! `enforcer test`.

use super::{Failure, findings, input};
use crate::daemon::clock::Instants;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer};
use crate::pipeline::{Surroundings, prepare};
use crate::protocol::{TestReport, TestResult};
use crate::verdicts;
use enforcer_policy::compile::Numbers;
use serde::Serialize;
use std::path::PathBuf;

/// Run the FlowTests of policy files and show every case
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer test policies/\n  enforcer test -o jsonl policies/ tests/\n\n\
                        Exit codes: 0 all pass; 1 some fail; 2 could not read; 3 invalid.")]
pub(super) struct Args {
    /// Files or directories; `-` is stdin
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    #[serde(flatten)]
    tests: &'a TestReport,
}

#[derive(Serialize)]
struct Case<'a> {
    schema: &'static str,
    #[serde(flatten)]
    case: &'a TestResult,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let files = input::parsed(&args.paths)?;
    let (around, now) = (Surroundings::default(), Instants::now());
    let ready = match prepare(&files, &around, now, Numbers::default()) {
        Ok(ready) => ready,
        Err(found) => {
            findings::show(&found);
            return Ok(Exit::Invalid);
        }
    };
    findings::show(ready.warnings.iter().chain(&ready.not_yet_enforced));
    let mut tests = verdicts::run_tests(&ready, &around, now);
    let mut out = Printer::new(args.output.format);
    match args.output.format {
        Format::Human => {
            for case in &tests.cases {
                out.line(line(case, out.colour))?;
            }
            out.line(summary(&tests))?;
        }
        Format::Json => out.document(&Report { schema: "enforcer.test/v1", tests: &tests })?,
        Format::Jsonl => {
            for case in std::mem::take(&mut tests.cases) {
                out.document(&Case { schema: "enforcer.test-case/v1", case: &case })?;
            }
            out.document(&Report { schema: "enforcer.test/v1", tests: &tests })?;
        }
    }
    out.flush()?;
    Ok(if tests.failed == 0 { Exit::Yes } else { Exit::No })
}

/// One case for people.
pub(super) fn line(case: &TestResult, colour: bool) -> String {
    let (word, code) = if case.passed { ("ok    ", "32") } else { ("FAILED", "1;31") };
    let word = if colour { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() };
    format!(
        "{word} {}[{}]  {} -> {} {}  expected {}, saw {}  {}  {}:{}",
        case.test,
        case.case,
        case.from,
        case.to,
        case.port,
        case.expected,
        case.seen,
        case.cause,
        case.file,
        case.line
    )
}

/// All of them in a few words.
pub(super) fn summary(tests: &TestReport) -> String {
    match (tests.passed, tests.failed) {
        (0, 0) => "no FlowTest cases".to_owned(),
        (passed, 0) => format!("{passed} FlowTest cases passed"),
        (passed, failed) => format!("{failed} of {} FlowTest cases failed", passed + failed),
    }
}

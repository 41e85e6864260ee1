//! `enforcer test`.

use super::{Failure, findings, input};
use crate::daemon::clock::Instants;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer};
use crate::pipeline::{Surroundings, prepare};
use crate::protocol::{PathHop, PropertyResult, TestReport, TestResult};
use crate::verdicts;
use enforcer_policy::compile::Numbers;
use enforcer_policy::diagnostic::{listed, shown};
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
struct Entry<'a, T> {
    schema: &'static str,
    #[serde(flatten)]
    entry: &'a T,
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
            show(&tests, &mut out)?;
            out.line(summary(&tests))?;
        }
        Format::Json => out.document(&Report { schema: "enforcer.test/v1", tests: &tests })?,
        Format::Jsonl => {
            for case in std::mem::take(&mut tests.cases) {
                out.document(&Entry { schema: "enforcer.test-case/v1", entry: &case })?;
            }
            for property in std::mem::take(&mut tests.properties) {
                out.document(&Entry { schema: "enforcer.test-property/v1", entry: &property })?;
            }
            out.document(&Report { schema: "enforcer.test/v1", tests: &tests })?;
        }
    }
    out.flush()?;
    Ok(if tests.failed == 0 { Exit::Yes } else { Exit::No })
}

/// Cases and properties for people.
pub(super) fn show(tests: &TestReport, out: &mut Printer) -> anyhow::Result<()> {
    for case in &tests.cases {
        out.line(case_line(case, out.colour))?;
    }
    for property in &tests.properties {
        out.line(property_lines(property, out.colour))?;
    }
    if tests.cases.iter().any(on_trial) {
        out.line(ON_TRIAL)?;
    }
    Ok(())
}

/// A rollout begins like this, and the word alone doesn't say what to do.
const ON_TRIAL: &str = "help: a segment or policy in `mode: audit` lets these pass and reports them: write `expect: audit` for as long as it does, \
                        and `deny` when it is taken to `enforce`";

fn on_trial(case: &TestResult) -> bool {
    !case.passed && case.expected == "deny" && case.seen == "audited"
}

fn word(passed: bool, colour: bool) -> String {
    let (word, code) = if passed { ("ok    ", "32") } else { ("FAILED", "1;31") };
    if colour { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
}

fn case_line(case: &TestResult, colour: bool) -> String {
    format!(
        "{} {}[{}]  {} -> {} {}  expected {}, saw {}  {}  {}:{}",
        word(case.passed, colour),
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

/// A property, and below it flow by flow what breaks it.
fn property_lines(property: &PropertyResult, colour: bool) -> String {
    let PropertyResult { test, property: number, claim, file, line, .. } = property;
    let why = property.why.as_deref().map(|why| format!("  {why}")).unwrap_or_default();
    let mut text =
        format!("{} {test}.properties[{number}]  {claim}{why}  {file}:{line}", word(property.passed, colour));
    for hop in &property.path {
        text += &format!("\n         {}", hop_line(hop));
    }
    text
}

fn hop_line(hop: &PathHop) -> String {
    let names = |names: &[String]| listed(&names.iter().map(|name| shown(name)).collect::<Vec<_>>(), 4);
    let by = match hop.cause.rule {
        Some(_) => hop.cause.to_string(),
        None => "the mode of its segment".to_owned(),
    };
    format!("{} -> {}  {}  {} by {by}", names(&hop.from), names(&hop.to), hop.ports, hop.verdict)
}

/// All of them in a few words.
pub(super) fn summary(tests: &TestReport) -> String {
    match (tests.passed, tests.failed) {
        (0, 0) => "no FlowTest cases".to_owned(),
        (passed, 0) => format!("{passed} FlowTest cases passed"),
        (passed, failed) => format!("{failed} of {} FlowTest cases failed", passed + failed),
    }
}

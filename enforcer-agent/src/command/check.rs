//! `enforcer check`.

use super::{Failure, findings, input};
use crate::daemon::clock::Instants;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer};
use crate::pipeline::{Ready, Surroundings, prepare};
use crate::protocol::{Finding, TestReport};
use crate::verdicts;
use enforcer_policy::compile::Numbers;
use enforcer_policy::diagnostic::counted;
use enforcer_policy::document::ParsedFile;
use enforcer_policy::model::PolicySet;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Parse, check and compile policy files, and run their FlowTests
///
/// All errors in all files are reported at once. Warnings name what is valid and probably not meant: rules that never decide, select
/// nothing or open too much, policies that have ended, end soon or that no FlowTest speaks of. Nothing is changed, and no daemon is needed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer check policies/\n  enforcer check --strict policies/\n  enforcer check -o json base.yaml team/\n\n\
                        Exit codes: 0 good; 1 a FlowTest fails (with --strict: or there are warnings); 2 could not read; 3 invalid."
)]
pub(super) struct Args {
    /// Files or directories; `-` is stdin
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take warnings for a no: exit code 1
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    valid: bool,
    files: usize,
    documents: BTreeMap<&'static str, usize>,
    diagnostics: &'a [Finding],
    tests: &'a TestReport,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let files = input::parsed(&args.paths)?;
    let (around, now) = (Surroundings::default(), Instants::now());
    let prepared = prepare(&files, &around, now, Numbers::default());
    let (valid, set, found, mut tests) = match prepared {
        Ok(ready) => {
            let tests = verdicts::run_tests(&ready, &around, now);
            let lints = verdicts::lints(&ready, &tests, now, files.iter().map(ParsedFile::source));
            let Ready { set, mut warnings, not_yet_enforced, .. } = ready;
            warnings.extend(not_yet_enforced);
            warnings.extend(lints);
            (true, set, warnings, tests)
        }
        Err(found) => (false, PolicySet::default(), found, TestReport::default()),
    };
    tests.keep_failed();
    let mut out = Printer::new(args.output.format);
    match args.output.format {
        Format::Human => {
            findings::show(&found);
            let errors = found.iter().filter(|finding| finding.is_error()).count();
            super::test::show(&tests, &mut out)?;
            if valid {
                let word = if tests.failed == 0 { "ok" } else { "failed" };
                out.line(format_args!(
                    "{word}: {}, {}",
                    summary(files.len(), &set),
                    super::test::summary(&tests)
                ))?;
            } else {
                out.line(format_args!(
                    "invalid: {}, {}",
                    counted(errors as u64, "error"),
                    counted(files.len() as u64, "file")
                ))?;
            }
        }
        Format::Json | Format::Jsonl => {
            let mut diagnostics = &found[..];
            if args.output.format == Format::Jsonl {
                found.iter().try_for_each(|finding| out.document(finding))?;
                diagnostics = &[];
            }
            let (files, documents, tests) = (files.len(), documents(&set), &tests);
            out.document(&Report {
                schema: "enforcer.check/v1",
                valid,
                files,
                documents,
                diagnostics,
                tests,
            })?;
        }
    }
    out.flush()?;
    let warned = args.strict && !found.is_empty();
    Ok(exit(valid, tests.failed == 0 && !warned))
}

fn exit(valid: bool, good: bool) -> Exit {
    match (valid, good) {
        (false, _) => Exit::Invalid,
        (true, true) => Exit::Yes,
        (true, false) => Exit::No,
    }
}

fn documents(set: &PolicySet) -> BTreeMap<&'static str, usize> {
    [
        ("Workload", set.workloads.len()),
        ("AddressGroup", set.groups.len()),
        ("FlowPolicy", set.policies.len()),
        ("Segment", set.segments.len()),
        ("FlowTest", set.tests.len()),
        ("AgentConfig", set.configs.len()),
    ]
    .into()
}

fn summary(files: usize, set: &PolicySet) -> String {
    let parts = [
        (files, "file"),
        (set.workloads.len(), "workload"),
        (set.groups.len(), "address group"),
        (set.policies.len(), "flow policy"),
        (set.segments.len(), "segment"),
    ];
    parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| counted(*number as u64, what))
        .collect::<Vec<_>>()
        .join(", ")
}

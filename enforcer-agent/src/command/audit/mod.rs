//! `enforcer audit`.

mod inventory;
pub(super) mod judging;
mod live;
mod output;
pub(super) mod recordings;
mod several;

use super::{Failure, findings, input};
use crate::daemon::clock::Instants;
use crate::exit::Exit;
use crate::pipeline::{Surroundings, prepare};
use clap::ValueEnum;
use enforcer_audit::{Audit, Report, Setting};
use enforcer_policy::compile::Numbers;
use enforcer_policy::document::parse_file;
use judging::Judging;
use output::Form;
use recordings::Recordings;
use std::path::PathBuf;

/// Judge recorded or live traffic by a policy set, before it is in force
///
/// Captured packets go through the verdict function one by one, with its flow tracking; flow records are judged by the packet that opened them.
/// Nothing is changed, and no daemon, root or kernel is needed (but by `live`). Formats are told by content: pcap, pcapng, AWS VPC flow
/// logs, Hubble's JSON lines, conntrack tables, `ss`, and what `enforcer observe -o jsonl` writes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer audit -f policies/ --flows capture.pcapng\n  \
                  tcpdump -i any -w - | enforcer audit -f policies/ --flows -\n  \
                  enforcer audit -f policies/ --flows live --for 60s\n  \
                  enforcer audit -f policies/ --flows vpc.log.gz --all-managed -o json\n  \
                  enforcer audit -f policies/ --flows week.pcap --fail-on denied,gap -o junit\n  \
                  enforcer audit -f policies/ --flows week.pcap --report week.html\n\n\
                  Exit codes: 0 done; 1 what --fail-on names is there; 2 could not read; 3 policy invalid.")]
#[command(mut_arg("flows", |flows| flows.required(true)))]
pub(super) struct Args {
    /// Policy files or directories to judge by
    #[arg(short, long = "file", value_name = "PATH", num_args = 1.., required = true)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    recordings: Recordings,
    #[command(flatten)]
    judging: Judging,
    /// Exit with 1 where these are there
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    fail_on: Vec<FailOn>,
    /// Form of the results on stdout
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    /// Write the results as a page to look at as well: one HTML file that loads nothing
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Each flow on a line of its own, with `-o jsonl`
    #[arg(long)]
    per_flow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Flows that would be denied
    Denied,
    /// Rules that decided nothing
    Unused,
    /// Times that the recording doesn't cover
    Gap,
}

impl FailOn {
    fn is_there(self, report: &Report) -> bool {
        match self {
            Self::Denied => report.verdicts.denied.flows > 0,
            Self::Unused => report.unused().next().is_some(),
            Self::Gap => report.totals.gaps > 0,
        }
    }
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    if args.per_flow && args.output != Form::Jsonl {
        return Err(Failure::from(anyhow::anyhow!("--per-flow is for `-o jsonl`")));
    }
    if let Some(path) = &args.report {
        output::place(path)?;
    }
    let sources = input::sources(&args.file)?;
    let files: Vec<_> = sources.iter().map(parse_file).collect();
    let now = Instants::now();
    let around = Surroundings::default();
    let ready = match prepare(&files, &around, now, Numbers::default()) {
        Ok(ready) => ready,
        Err(found) => {
            findings::show(&found);
            return Ok(Exit::Invalid);
        }
    };
    if !args.judging.all_managed {
        findings::show(&ready.not_yet_enforced);
    }
    let mut setting = Setting::new(ready.set, now.wall);
    setting.default_mode = around.default_mode;
    args.recordings.put_into(&mut setting)?;
    args.judging.put_into(&mut setting, now.wall);
    let mut audit = Audit::new(setting).map_err(uncompiled)?;
    recordings::take(&args.recordings, &mut audit)?;
    let report = audit.report().map_err(uncompiled)?;
    if let Some(path) = &args.report {
        output::page(&report, &sources, path)?;
    }
    output::print(&report, &audit, args.output, args.per_flow)?;
    let failed = args.fail_on.iter().any(|what| what.is_there(&report));
    Ok(if failed { Exit::No } else { Exit::Yes })
}

pub(super) fn uncompiled(error: enforcer_audit::AuditError) -> Failure {
    let help = error.help();
    Failure { exit: Exit::Invalid, ..Failure::from(anyhow::Error::new(error)) }.help(help)
}

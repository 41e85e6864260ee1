//! `enforcer suggest`.

use super::audit::recordings::{self, Recordings};
use super::{Failure, audit::uncompiled, findings, input};
use crate::daemon::clock::Instants;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer, note};
use crate::pipeline::check;
use enforcer_audit::suggest::narrow::{Narrowing, PolicyAdvice};
use enforcer_audit::suggest::{Apart, Options, Suggestion, Why};
use enforcer_audit::{Audit, Managed, Setting};
use enforcer_policy::model::{FlowPolicy, PolicySet};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use std::path::PathBuf;

/// Write least-privilege policies from recorded or live traffic
///
/// FlowPolicy documents on stdout: one for each destination, from the smallest labels that mean exactly who was seen, to the ports that were
/// used, each rule with its evidence. What looks like a scan, a probe or a client's port is set apart in comments, for a person to judge;
/// what the recording system refused is left out. Flows that the policies given allow need no rule. Formats are those of `audit`.
/// With --narrow, existing rules are held against their use: documents with narrower rules for those that let in more, and those that weren't used.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer suggest -f workloads.yaml --flows capture.pcapng > suggested.yaml\n  \
                        enforcer check workloads.yaml suggested.yaml\n  \
                        enforcer audit -f workloads.yaml suggested.yaml --flows capture.pcapng\n  \
                        enforcer suggest --inventory pods.json --flows hubble.jsonl\n  \
                        enforcer suggest -f policies/ --anew --flows vpc.log.gz --fold-ports 1\n  \
                        enforcer suggest --narrow policies/ --flows week.pcap > narrower.yaml\n\n\
                        Exit codes: 0 done; 2 could not read; 3 policy invalid."
)]
#[command(mut_arg("flows", |flows| flows.required(true)))]
pub(super) struct Args {
    /// Documents that name who has which address; FlowPolicies among them are to stay
    #[arg(short, long = "file", value_name = "PATH", num_args = 1..)]
    file: Vec<PathBuf>,
    /// Take no notice of the FlowPolicies given: suggest what all traffic needs
    #[arg(long, conflicts_with = "narrow")]
    anew: bool,
    /// Policy files or directories whose rules are held against their use, in place of suggesting new ones
    #[arg(long, value_name = "POLICIES", num_args = 1..)]
    narrow: Vec<PathBuf>,
    /// Make ports of a rule a range where each is at most this far from the one before; above 1 this lets in ports that weren't used [default: none]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    fold_ports: u16,
    /// Name up to so many addresses of the world one by one; more of them become `entity: world`
    #[arg(long, value_name = "N", default_value_t = Options::default().world_addresses)]
    world_addresses: usize,
    #[command(flatten)]
    recordings: Recordings,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Line {
    schema: &'static str,
    #[serde(flatten)]
    value: Value,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    // What is in both is read once.
    let more = args.narrow.iter().filter(|path| !args.file.contains(path));
    let paths: Vec<PathBuf> = args.file.iter().chain(more).cloned().collect();
    let files = if paths.is_empty() { Vec::new() } else { input::parsed(&paths)? };
    let narrowed = if args.narrow.is_empty() { Vec::new() } else { input::parsed(&args.narrow)? };
    let narrowed: HashSet<String> = narrowed.iter().map(|file| file.source().name.to_string()).collect();
    let now = Instants::now();
    let set = match check(&files, now) {
        Ok(sound) => sound.set,
        Err(found) => {
            findings::show(&found);
            return Ok(Exit::Invalid);
        }
    };
    let policies = if args.anew { Vec::new() } else { set.policies };
    let identities = PolicySet { workloads: set.workloads, groups: set.groups, ..PolicySet::default() };
    let mut setting = Setting::new(PolicySet { policies, ..identities }, now.wall);
    setting.managed = Managed::All;
    args.recordings.put_into(&mut setting)?;
    let mut audit = Audit::new(setting).map_err(uncompiled)?;
    recordings::take(&args.recordings, &mut audit)?;
    let totals = audit.totals().map_err(uncompiled)?;
    let options = Options { fold_ports: args.fold_ports, world_addresses: args.world_addresses };
    let mut out = Printer::new(args.output.format);
    if args.narrow.is_empty() {
        let suggestion = audit.suggest(&options);
        suggested(&suggestion, &mut out)?;
        let unknown = |apart: &Apart| apart.why == Why::NoHook;
        if suggestion.policies.is_empty() && totals.flows > 0 && suggestion.apart.iter().all(unknown) {
            note(
                "warning: no policy is suggested, for no address is known to be a workload's\n\
                 help: name who has which address: with -f, Workload documents (on the host itself `enforcer import host` writes them); \
                 with --inventory, what Kubernetes, AWS or Docker say",
            );
        } else if suggestion.policies.is_empty() && totals.flows > 0 {
            note("warning: no policy is suggested; the comments on stdout say why");
        }
    } else {
        let chosen = |policy: &FlowPolicy| narrowed.contains(&*policy.origin.file);
        let narrowing = audit.narrow(&options, chosen).map_err(uncompiled)?;
        told(&narrowing, &mut out)?;
        let span = narrowing.span().unwrap_or_else(|| "a time that it doesn't tell".to_owned());
        note(format_args!("warning: the recording covers {span}: what is used less often looks unused"));
    }
    out.flush()?;
    if totals.damaged > 0 {
        note(format_args!("warning: {} damaged records were passed over", totals.damaged));
    }
    Ok(Exit::Yes)
}

fn suggested(suggestion: &Suggestion, out: &mut Printer) -> anyhow::Result<()> {
    match out.format {
        Format::Human => out.line(suggestion.yaml().trim_end()),
        Format::Json => out.document(&suggestion.json()),
        Format::Jsonl => {
            for policy in &suggestion.policies {
                out.document(&Line { schema: "enforcer.suggest-policy/v1", value: policy.json() })?;
            }
            for apart in &suggestion.apart {
                out.document(&Line { schema: "enforcer.suggest-apart/v1", value: apart.json() })?;
            }
            out.document(&suggestion.head())
        }
    }
}

fn told(narrowing: &Narrowing, out: &mut Printer) -> anyhow::Result<()> {
    match out.format {
        Format::Human => out.line(narrowing.yaml().trim_end()),
        Format::Json => out.document(&narrowing.json()),
        Format::Jsonl => {
            for value in narrowing.policies.iter().flat_map(PolicyAdvice::json) {
                out.document(&Line { schema: "enforcer.suggest-rule/v1", value })?;
            }
            out.document(&narrowing.head())
        }
    }
}

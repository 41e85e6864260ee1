//! `enforcer import`.

use super::host::{self, HostInventory};
use super::{Failure, findings, input};
use crate::exit::Exit;
use crate::links::tenants;
use crate::output::{Format, OutputArgs, Printer, note};
use crate::protocol::Finding;
use anyhow::Context;
use clap::Subcommand;
use enforcer_import::inventory::{Hooks, Inventory};
use enforcer_import::rules::{Imported, network_policies, security_groups};
use enforcer_import::write;
use enforcer_policy::diagnostic::Diagnostic;
use enforcer_policy::model::PolicySet;
use enforcer_policy::source::Source;
use serde::Serialize;
use std::path::PathBuf;

/// Write other systems' rules and inventories as policy documents
///
/// The documents go to stdout. What can't be carried over is listed on stderr and at their top, never left out in silence.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubectl get networkpolicies,pods,nodes,namespaces -A -o json > cluster.json\n  \
                        enforcer import inventory pods.json > workloads.yaml\n  \
                        enforcer import networkpolicy policies.yaml --inventory pods.json > policies.d/cluster.yaml\n  \
                        enforcer import security-groups groups.json --inventory instances.json\n  enforcer import host > workloads.yaml\n\n\
                        Exit codes: 0 all of it; 1 something isn't carried over; 2 could not read; 3 the input is invalid."
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// NetworkPolicy, ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy of one cluster
    ///
    /// All files together are one cluster's policies. What a named port stands for, and which pods an address block holds,
    /// only an inventory tells.
    #[command(name = "networkpolicy")]
    #[command(
        after_help = "Example:\n  enforcer import networkpolicy policies.yaml --inventory pods.json --with-workloads"
    )]
    NetworkPolicy(Rules),
    /// AWS security groups, from `aws ec2 describe-security-groups`
    ///
    /// Prefix lists are read from `describe-prefix-lists`, or from `get-managed-prefix-list-entries` in a file whose name
    /// holds the list's id.
    #[command(
        after_help = "Example:\n  enforcer import security-groups groups.json pl-0abc.json --inventory instances.json"
    )]
    SecurityGroups(Rules),
    /// What runs, as Workload and AddressGroup documents
    ///
    /// Read are `kubectl get pods,nodes,namespaces -A -o json` (or yaml), `aws ec2 describe-instances`,
    /// `describe-network-interfaces`, and `docker inspect`, told apart by content.
    #[command(after_help = "Example:\n  docker inspect $(docker ps -q) | enforcer import inventory -")]
    Inventory(Things),
    /// Who runs behind this host's devices, as Workload documents to begin with
    ///
    /// Looked at are veth and netkit devices whose other end is in another network namespace, and taps; and of each, the addresses that
    /// have a route of their own through it or were met behind it. Names and labels are made from the devices' names, for a person to put
    /// right. Nothing is changed.
    #[command(after_help = "Example:\n  enforcer import host > workloads.yaml")]
    Host(Host),
}

#[derive(Debug, clap::Args)]
struct Host {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct Rules {
    /// Files with the rules; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What runs: pods, nodes and namespaces, or instances and interfaces
    #[arg(long, value_name = "FILE")]
    inventory: Vec<PathBuf>,
    /// Write the inventory's Workloads and AddressGroups as well
    #[arg(long, requires = "inventory")]
    with_workloads: bool,
    /// Exit with 0 even where something isn't carried over
    #[arg(long)]
    allow_partial: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct Things {
    /// Files; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    policies: usize,
    workloads: usize,
    not_carried_over: Vec<Finding>,
    notes: Vec<String>,
    yaml: String,
}

type Importer = fn(&[Source], Option<&Inventory>) -> Result<Imported, Vec<Diagnostic>>;

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    match args.what {
        What::NetworkPolicy(args) => {
            rules(&args, "Imported from Kubernetes network policies.", network_policies)
        }
        What::SecurityGroups(args) => rules(&args, "Imported from AWS security groups.", security_groups),
        What::Inventory(args) => things(&args),
        What::Host(args) => this_host(&args),
    }
}

fn rules(args: &Rules, title: &str, import: Importer) -> Result<Exit, Failure> {
    let sources = input::sources(&args.files)?;
    let inventory = if args.inventory.is_empty() { None } else { Some(inventory(&args.inventory)?) };
    let imported = match import(&sources, inventory.as_ref()) {
        Ok(imported) => imported,
        Err(errors) => {
            findings::show(&errors.iter().map(Finding::from).collect::<Vec<_>>());
            return Ok(Exit::Invalid);
        }
    };
    let losses: Vec<Finding> = imported.losses.iter().map(Finding::from).collect();
    let mut yaml = imported.to_yaml(title);
    let mut set = PolicySet::default();
    if let Some(inventory) = inventory.filter(|_| args.with_workloads) {
        merge(&inventory, &mut set);
        yaml = format!("{yaml}---\n{}", write::identities(&set));
    }
    let whole = losses.is_empty() || args.allow_partial;
    let report = Report {
        schema: "enforcer.import/v1",
        policies: imported.policies.len(),
        workloads: set.workloads.len() + set.groups.len(),
        not_carried_over: losses,
        notes: imported.notes,
        yaml,
    };
    print(args.output, &report)?;
    Ok(if whole { Exit::Yes } else { Exit::No })
}

fn things(args: &Things) -> Result<Exit, Failure> {
    let inventory = inventory(&args.files)?;
    let mut set = PolicySet::default();
    merge(&inventory, &mut set);
    let report = Report {
        schema: "enforcer.import/v1",
        policies: 0,
        workloads: set.workloads.len() + set.groups.len(),
        not_carried_over: Vec::new(),
        notes: inventory.problems.iter().map(ToString::to_string).collect(),
        yaml: write::identities(&set),
    };
    print(args.output, &report)?;
    Ok(Exit::Yes)
}

fn this_host(args: &Host) -> Result<Exit, Failure> {
    let found = tenants().context("could not ask the kernel for this host's devices")?;
    let HostInventory { yaml, workloads, notes } = host::inventory(&found);
    if workloads == 0 {
        note(
            "warning: behind none of this host's devices an address was seen\n\
             help: workloads are found behind veth, netkit and tap devices; for others, `enforcer import inventory`, or write Workload documents",
        );
    }
    let not_carried_over = Vec::new();
    print(
        args.output,
        &Report { schema: "enforcer.import/v1", policies: 0, workloads, not_carried_over, notes, yaml },
    )?;
    Ok(Exit::Yes)
}

/// What runs, with what is wrong about it on stderr.
fn inventory(files: &[PathBuf]) -> Result<Inventory, Failure> {
    let read = Inventory::read(&input::sources(files)?);
    let inventory = read.map_err(|error| {
        let help = error.help();
        Failure::from(anyhow::Error::from(error)).help(help)
    })?;
    for problem in &inventory.problems {
        note(format_args!("warning: {problem}"));
    }
    Ok(inventory)
}

fn merge(inventory: &Inventory, set: &mut PolicySet) {
    for problem in inventory.merge(set, None, Hooks::None).problems {
        note(format_args!("warning: {problem}"));
    }
}

fn print(output: OutputArgs, report: &Report) -> Result<(), Failure> {
    let mut out = Printer::new(output.format);
    match output.format {
        Format::Human => {
            findings::show(&report.not_carried_over);
            out.line(report.yaml.trim_end())?;
        }
        Format::Json | Format::Jsonl => out.document(report)?,
    }
    out.flush()?;
    Ok(())
}

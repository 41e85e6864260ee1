//! The report in the form that was asked for.

use crate::output::{Format, Printer, note};
use anyhow::{Context, ensure};
use clap::ValueEnum;
use enforcer_audit::report::{Group, Sample, Window};
use enforcer_audit::{Audit, Report, render};
use enforcer_policy::source::Source;
use serde::Serialize;
use std::fs;
use std::path::Path;

/// What `-o` chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people
    #[default]
    Human,
    /// One JSON document
    Json,
    /// One JSON document a line: groups of flows (or flows, with --per-flow), then the rest
    Jsonl,
    /// Annotations for GitHub Actions
    Github,
    /// JUnit's XML
    Junit,
    /// SARIF 2.1.0
    Sarif,
}

#[derive(Serialize)]
struct GroupDocument<'a> {
    schema: &'static str,
    #[serde(flatten)]
    group: &'a Group,
}

#[derive(Serialize)]
struct FlowDocument<'a> {
    schema: &'static str,
    #[serde(flatten)]
    ends: Sample,
    source_port: u16,
    destination_port: u16,
    packets: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Window>,
    opening_seen: bool,
    verdict: &'static str,
    passes: bool,
    port: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a enforcer_audit::report::CauseLine>,
    from: &'a enforcer_audit::report::Identity,
    to: &'a enforcer_audit::report::Identity,
}

pub(super) fn print(report: &Report, audit: &Audit, form: Form, per_flow: bool) -> anyhow::Result<()> {
    let format = match form {
        Form::Human | Form::Github | Form::Junit => Format::Human,
        Form::Json | Form::Sarif => Format::Json,
        Form::Jsonl => Format::Jsonl,
    };
    let mut out = Printer::new(format);
    match form {
        Form::Human => out.line(render::human(report, out.colour).trim_end())?,
        Form::Json => out.document(report)?,
        Form::Jsonl => {
            if per_flow {
                flows(audit, &mut out)?;
            } else {
                for group in &report.groups {
                    out.document(&GroupDocument { schema: "enforcer.audit-group/v1", group })?;
                }
            }
            out.document(&Report { groups: Vec::new(), ..report.clone() })?;
        }
        Form::Github => {
            let text = render::github(report);
            if !text.is_empty() {
                out.line(text.trim_end())?;
            }
        }
        Form::Junit => {
            out.line(render::junit(report).context("could not write the report as XML")?.trim_end())?
        }
        Form::Sarif => out.document(&render::sarif(report))?,
    }
    out.flush()
}

/// Refuses a place where no page can be written, before anything is read.
pub(super) fn place(path: &Path) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(dir.is_dir(), "could not write `{}`: `{}` is no directory", path.display(), dir.display());
    ensure!(!path.is_dir(), "could not write `{}`: it is a directory", path.display());
    Ok(())
}

/// `--report`: the page for a browser.
pub(super) fn page(report: &Report, sources: &[Source], path: &Path) -> anyhow::Result<()> {
    let page = render::html(report, sources).context("could not make the page")?;
    fs::write(path, page).with_context(|| format!("could not write `{}`", path.display()))?;
    note(format_args!("wrote `{}`", path.display()));
    Ok(())
}

fn flows(audit: &Audit, out: &mut Printer) -> anyhow::Result<()> {
    let groups = audit.flow_groups();
    for line in audit.flows_in_order() {
        let group = &groups[line.group];
        out.document(&FlowDocument {
            schema: "enforcer.audit-flow/v1",
            ends: Sample { source: line.source, destination: line.destination },
            source_port: line.ports.0,
            destination_port: line.ports.1,
            packets: line.packets,
            bytes: line.bytes,
            seen: Window::of(line.seen),
            opening_seen: line.opened,
            verdict: group.verdict,
            passes: group.passes,
            port: &group.traffic.port,
            cause: group.cause.as_ref(),
            from: &group.source,
            to: &group.destination,
        })?;
    }
    Ok(())
}

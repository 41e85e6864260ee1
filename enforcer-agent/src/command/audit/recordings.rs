//! Reading recordings into the dry run, with a progress bar on a terminal.

use super::{Args, live};
use crate::command::Failure;
use crate::output::note;
use anyhow::Context;
use enforcer_audit::Audit;
use enforcer_flows::{Format, Options, read};
use enforcer_policy::diagnostic::shown;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

/// What `--format` takes.
pub(super) fn format(word: &str) -> Result<Format, String> {
    word.parse().map_err(|_| {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.word()).collect();
        format!("formats are {}", known.join(", "))
    })
}

/// Reads each recording to its end.
pub(super) fn take(args: &Args, audit: &mut Audit) -> Result<(), Failure> {
    let options = Options {
        format: args.format,
        strict: args.strict,
        vpc_fields: args.vpc_fields.clone(),
        ..Options::default()
    };
    for path in &args.flows {
        match path.to_str() {
            Some("live") => {
                audit.begin("live");
                live::take(args, audit)?;
            }
            Some("-") => {
                audit.begin("stdin");
                pour(io::stdin().lock(), None, "stdin", &options, audit)?;
            }
            Some(_) | None => file(path, &options, audit)?,
        }
    }
    Ok(())
}

fn file(path: &Path, options: &Options, audit: &mut Audit) -> Result<(), Failure> {
    let opened = File::open(path).with_context(|| format!("could not read `{}`", path.display()))?;
    let length = opened.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
    let name = path.display().to_string();
    audit.begin(name.as_str());
    pour(opened, length, &name, options, audit)
}

fn pour(
    input: impl Read,
    length: Option<u64>,
    name: &str,
    options: &Options,
    audit: &mut Audit,
) -> Result<(), Failure> {
    let bar = bar(length, name);
    let result = read(bar.wrap_read(input), options, audit);
    bar.finish_and_clear();
    match result {
        Ok(summary) => {
            audit.end(&summary);
            Ok(())
        }
        Err(error) => {
            let help = error.help().map(str::to_owned);
            let error = anyhow::Error::new(error).context(format!("could not read `{name}`"));
            Err(Failure { help, ..Failure::from(error) })
        }
    }
}

/// On a terminal, bytes read; elsewhere nothing.
fn bar(length: Option<u64>, name: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{msg} [{bar:30}] {bytes}/{total_bytes} ({bytes_per_sec}, {eta} to go)",
        ),
        None => (ProgressBar::new_spinner(), "{msg} {spinner} {bytes} ({bytes_per_sec})"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.set_style(style),
        Err(error) => note(format_args!("warning: no progress is shown: {error}")),
    }
    bar.with_message(shown(name))
}

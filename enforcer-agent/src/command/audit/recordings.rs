//! Reading recordings into the dry run, with a progress bar on a terminal.

use super::inventory;
use super::live::Live;
use super::several;
use crate::command::{Failure, SocketArgs};
use crate::output::note;
use anyhow::Context;
use enforcer_audit::{Intake, Setting};
use enforcer_flows::{Format, Options, ReadError, read};
use enforcer_policy::diagnostic::shown;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is read, and who is in it.
#[derive(Debug, clap::Args)]
pub(in crate::command) struct Recordings {
    /// Recordings, merged by time; `-` is stdin, `live` what the daemon sees from now on
    #[arg(long, value_name = "FILE", num_args = 1..)]
    flows: Vec<PathBuf>,
    /// Who has which address: `kubectl get pods,nodes,namespaces -o json`, `aws ec2 describe-instances`, `docker inspect`
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "flows")]
    inventory: Vec<PathBuf>,
    /// What the recordings are, in place of what their content tells
    #[arg(id = "recorded_format", long = "format", value_parser = format, value_name = "FORMAT", requires = "flows")]
    format: Option<Format>,
    /// Fields of a VPC flow log that has no header line, as in AWS's --log-format
    #[arg(long, value_name = "FIELDS", requires = "flows")]
    vpc_fields: Option<String>,
    /// Give up at the first damaged record
    #[arg(long, requires = "flows")]
    strict: bool,
    /// Addresses of the machines themselves (`entity: host`)
    #[arg(long, value_name = "ADDRESS", num_args = 1.., requires = "flows")]
    host: Vec<IpAddr>,
    /// Take VLAN tags off: the capture is from a trunk or a mirror port
    #[arg(long, requires = "flows")]
    untag: bool,
    /// Count packets that were captured twice both times
    #[arg(long, requires = "flows")]
    keep_repeats: bool,
    /// How long to listen, with `--flows live`, such as 60s or 5m [default: until interrupted]
    #[arg(long = "for", value_name = "TIME", value_parser = duration, requires = "flows")]
    listen: Option<Duration>,
    #[command(flatten)]
    pub(in crate::command) socket: SocketArgs,
}

impl Recordings {
    /// Whether any are named.
    pub(in crate::command) fn are_named(&self) -> bool {
        !self.flows.is_empty()
    }

    /// Puts who is known, and how the recordings are to be taken, into a setting.
    pub(in crate::command) fn put_into(&self, setting: &mut Setting) -> Result<(), Failure> {
        setting.host.extend(&self.host);
        setting.known = inventory::read(&self.inventory)?;
        (setting.untag, setting.keep_repeats) = (self.untag, self.keep_repeats);
        Ok(())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a length of time looks like `60s`, `5m` or `1h`".to_owned();
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|length| Duration::try_from(length).ok())
        .ok_or_else(wrong)
}

/// What `--format` takes.
fn format(word: &str) -> Result<Format, String> {
    word.parse().map_err(|_| {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.word()).collect();
        format!("formats are {}", known.join(", "))
    })
}

/// Reads all recordings to their ends: several in the order of their times.
pub(in crate::command) fn take(args: &Recordings, audit: &mut impl Intake) -> Result<(), Failure> {
    let options = Options {
        format: args.format,
        strict: args.strict,
        vpc_fields: args.vpc_fields.clone(),
        ..Options::default()
    };
    let is_live = |path: &&PathBuf| path.as_os_str() == "live";
    let recorded: Vec<&PathBuf> = args.flows.iter().filter(|path| !is_live(path)).collect();
    match recorded[..] {
        [] => {}
        [path] if path.as_os_str() == "-" => {
            audit.begin("stdin");
            pour(io::stdin().lock(), None, "stdin", &options, audit)?;
        }
        [path] => file(path, &options, audit)?,
        _ => several::take(&recorded, &options, audit)?,
    }
    // What is seen from now on comes after what was recorded.
    if args.flows.iter().any(|path| is_live(&path)) {
        audit.begin("live");
        let live = Live::open(&args.socket.path(), args.listen)?;
        let options = Options { format: Some(Format::EnforcerJsonl), ..options };
        pour(live, None, "live", &options, audit)?;
    }
    Ok(())
}

fn file(path: &Path, options: &Options, audit: &mut impl Intake) -> Result<(), Failure> {
    let opened = File::open(path).with_context(|| format!("could not read `{}`", path.display()))?;
    let length = opened.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
    let name = path.display().to_string();
    audit.begin(&name);
    pour(opened, length, &name, options, audit)
}

fn pour(
    input: impl Read,
    length: Option<u64>,
    name: &str,
    options: &Options,
    audit: &mut impl Intake,
) -> Result<(), Failure> {
    let bar = bar(length, name);
    let result = read(bar.wrap_read(input), options, audit);
    bar.finish_and_clear();
    match result {
        Ok(summary) => {
            audit.end(&summary);
            Ok(())
        }
        Err(error) => Err(unread(error, name)),
    }
}

/// A recording that can't be read, with the way out.
pub(super) fn unread(error: ReadError, name: &str) -> Failure {
    let help = error.help().map(str::to_owned);
    let error = anyhow::Error::new(error).context(format!("could not read `{name}`"));
    Failure { help, ..Failure::from(error) }
}

/// On a terminal, bytes read; elsewhere nothing.
pub(super) fn bar(length: Option<u64>, name: &str) -> ProgressBar {
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

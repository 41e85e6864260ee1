//! Results on stdout: for people, as one JSON document, or as JSON lines. A reader that has gone away is no error.

use anyhow::Context;
use clap::ValueEnum;
use enforcer_policy::diagnostic::shown;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// What `-o` chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
}

/// `-o`, for every command that prints results.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct OutputArgs {
    /// Form of the results on stdout
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORM")]
    pub format: Format,
}

/// Whoever read stdout has closed it: there is nobody left to tell.
#[derive(Debug, thiserror::Error)]
#[error("stdout was closed")]
pub struct Closed;

/// Stdout, buffered, in one format.
pub struct Printer {
    /// What `-o` chose.
    pub format: Format,
    /// Whether to write colours.
    pub colour: bool,
    out: io::BufWriter<io::Stdout>,
}

impl Printer {
    /// Stdout in this format; coloured on a terminal that wants it.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let colour = format == Format::Human && wants_colour(&io::stdout());
        Self { format, colour, out: io::BufWriter::new(io::stdout()) }
    }

    /// Text for people; a line break is added.
    pub fn line(&mut self, text: impl std::fmt::Display) -> anyhow::Result<()> {
        guard(writeln!(self.out, "{text}"))
    }

    /// A document for programs: spread over lines for [`Format::Json`], in one line otherwise.
    pub fn document(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(value),
            Format::Human | Format::Jsonl => serde_json::to_string(value),
        };
        guard(writeln!(self.out, "{}", text.context("could not write the result as JSON")?))
    }

    /// Hands everything to the reader now.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        guard(self.out.flush())
    }
}

fn guard(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.context("could not write to stdout"),
    }
}

/// When a record was made, as people here read a clock; what is no time is shown as it is.
#[must_use]
pub(crate) fn time_of_day(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%H:%M:%S.%3f").to_string(),
        Err(_) => shown(time),
    }
}

/// A terminal, and nobody asked for none.
pub fn wants_colour(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes to stderr; where that is gone, there is nobody left to tell.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

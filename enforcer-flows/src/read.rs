//! The way in: from an input and what is known about it to a sink that has taken everything.

use crate::detect::recognise;
use crate::error::ReadError;
use crate::input::{Line, Unpacked, Window};
use crate::item::Sink;
use crate::report::{Report, Summary};
use crate::{Format, capture, conntrack, hubble, observed, ss, vpc};
use std::io::Read;

/// How a source is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What it is; otherwise its content tells.
    pub format: Option<Format>,
    /// Whether the first thing that can't be read ends the reading.
    pub strict: bool,
    /// Fields of a VPC flow log without a header line, as in AWS's `--log-format` (`${srcaddr} …`) or as in a header line.
    pub vpc_fields: Option<String>,
    /// Longest line. A longer one is damage.
    pub longest_line: usize,
    /// Longest packet kept. A longer one is damage.
    pub longest_packet: usize,
}

impl Default for Options {
    fn default() -> Self {
        // What tcpdump and Wireshark keep of a packet at most.
        Self {
            format: None,
            strict: false,
            vpc_fields: None,
            longest_line: 1 << 20,
            longest_packet: 256 << 10,
        }
    }
}

/// Reads `input` to its end and hands what it says to `sink`, in its order.
///
/// Memory is bounded by `options`, not by the input. What can't be read is handed on as damage and left out.
///
/// # Errors
///
/// Where the input can't be read from, isn't known, can't be used at all, or `options.strict` and something is damaged. What was read
/// until then has been handed on.
pub fn read(input: impl Read, options: &Options, sink: &mut dyn Sink) -> Result<Summary, ReadError> {
    let mut window = Window::new(Unpacked::new(input)?);
    let packing = window.packing();
    let recognised = recognise(&mut window, options);
    let format = match (options.format, recognised) {
        (Some(format), _) => format,
        (None, Ok(format)) => format,
        // What is missing may be what didn't come out of the packing.
        (None, Err(error)) => return Err(unpacked_badly(&mut window).unwrap_or(error)),
    };
    let mut report = Report::new(format, packing, options, sink);
    match format {
        Format::Pcap => capture::pcap(&mut window, options, &mut report)?,
        Format::Pcapng => capture::pcapng(&mut window, options, &mut report)?,
        Format::Vpc => lines(&mut window, options, &mut vpc::Reader::new(options)?, &mut report)?,
        Format::Hubble => lines(&mut window, options, &mut hubble::Reader::default(), &mut report)?,
        Format::Conntrack => lines(&mut window, options, &mut conntrack::Reader, &mut report)?,
        Format::Ss => lines(&mut window, options, &mut ss::Reader::default(), &mut report)?,
        Format::EnforcerJsonl => lines(&mut window, options, &mut observed::Reader::default(), &mut report)?,
    }
    if let Some(broken) = window.broken() {
        report.damage(window.taken(), || broken)?;
    }
    let mut summary = report.summary;
    summary.bytes = window.taken();
    Ok(summary)
}

fn unpacked_badly(window: &mut Window<'_>) -> Option<ReadError> {
    let what = window.broken()?;
    Some(ReadError::Damaged(crate::Damage { place: 1, what }))
}

/// Reads a format of lines.
pub(crate) trait Lines {
    /// One line that isn't empty.
    fn line(&mut self, place: u64, line: &[u8], report: &mut Report<'_>) -> Result<(), ReadError>;

    /// There are no more.
    fn end(&mut self, _report: &mut Report<'_>) -> Result<(), ReadError> {
        Ok(())
    }
}

fn lines(
    window: &mut Window<'_>,
    options: &Options,
    reader: &mut impl Lines,
    report: &mut Report<'_>,
) -> Result<(), ReadError> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let mut place = 0;
    while let Some(line) = window.line(options.longest_line)? {
        place += 1;
        let line = match line {
            Line::TooLong => {
                report.damage(place, || format!("the line is longer than {} bytes", options.longest_line))?;
                continue;
            }
            Line::Whole(line) if place == 1 => line.strip_prefix(MARK).unwrap_or(line),
            Line::Whole(line) => line,
        };
        if !line.is_empty() {
            reader.line(place, line, report)?;
        }
    }
    reader.end(report)
}

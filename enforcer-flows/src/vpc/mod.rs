//! AWS VPC flow logs as text: a header line that names the fields, or none and the default ones, then a record a line.
//!
//! Which addresses. A record has those of the interface's conversation (`srcaddr`, `dstaddr`) and, where the format has them, those in the
//! packet (`pkt-srcaddr`, `pkt-dstaddr`). They differ where something stands between: the secondary address of an interface, a pod behind a
//! node, a NAT gateway, a load balancer. A policy is about the workload, and that is the one in the packet: so those are taken.

mod fields;
mod record;

use crate::Options;
use crate::error::ReadError;
use crate::read::Lines;
use crate::report::Report;
use crate::text::excerpt;
use fields::Layout;
use record::{Read, Record};

/// Names of fields shown that aren't known.
const UNKNOWN: usize = 8;

/// Reads flow logs.
pub(crate) struct Reader {
    layout: Layout,
    record: Record,
    /// Whether there was a header or a record before.
    begun: bool,
}

impl Reader {
    pub(crate) fn new(options: &Options) -> Result<Self, ReadError> {
        let layout = match &options.vpc_fields {
            Some(fields) => Layout::named(fields.as_bytes()),
            None => Layout::default(),
        };
        layout.check()?;
        Ok(Self { layout, record: Record::default(), begun: false })
    }

    /// The first header has to name what is needed. One that comes later and doesn't is damage, and so are its records.
    fn header(&mut self, place: u64, line: &[u8], report: &mut Report<'_>) -> Result<(), ReadError> {
        self.layout = Layout::named(line);
        match self.layout.check() {
            Err(error) if self.begun => {
                self.layout.columns.clear();
                return report.damage(place, || error.to_string());
            }
            checked => checked?,
        }
        self.begun = true;
        let unknown: Vec<String> =
            self.layout.unknown(line).take(UNKNOWN).map(|name| format!("`{}`", excerpt(name))).collect();
        if !unknown.is_empty() {
            report.note(|| format!("fields that aren't known, and aren't read: {}", unknown.join(", ")));
        }
        Ok(())
    }
}

impl Lines for Reader {
    fn line(&mut self, place: u64, line: &[u8], report: &mut Report<'_>) -> Result<(), ReadError> {
        if fields::is_header(line) {
            return self.header(place, line, report);
        }
        self.begun = true;
        let line = without_prefix(line);
        match self.record.read(&self.layout, line) {
            Ok(Read::Flow) => report.flow(&self.record.flow),
            Ok(Read::Gap(gap)) => report.gap(&gap),
            Err(what) => report.damaged_text(place, what, line)?,
        }
        Ok(())
    }
}

/// Whether a line may be one of a flow log: a header, or a record in the default format.
pub(crate) fn recognises(line: &[u8]) -> bool {
    fields::is_header(line) || Record::default().read(&Layout::default(), without_prefix(line)).is_ok()
}

/// CloudWatch puts the time of its arrival before a record where it exports them, and the log stream's name where it tails them.
fn without_prefix(line: &[u8]) -> &[u8] {
    if line.len() < 25 || line[4] != b'-' || line[10] != b'T' || !line[0].is_ascii_digit() {
        return line;
    }
    let mut rest = line;
    for is_prefix in [
        |_: &[u8]| true,
        |word: &[u8]| word.starts_with(b"eni-") && word.len() > 21 && word[20..].contains(&b'-'),
    ] {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        if is_prefix(&rest[..end]) {
            rest = rest[end..].trim_ascii_start();
        }
    }
    rest
}

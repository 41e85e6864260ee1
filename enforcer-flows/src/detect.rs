//! What a source is, told by its beginning.

use crate::Options;
use crate::error::ReadError;
use crate::format::Format;
use crate::input::Window;
use crate::{conntrack, ss, vpc};
use memchr::memmem;

/// How far into a source its kind may show.
const FAR: usize = 64 << 10;
/// What is shown of one that isn't known.
const SHOWN: usize = 60;

/// What begins with `beginning`, unpacked, is. A few lines are enough, and one may do.
#[must_use]
pub fn detect(beginning: &[u8]) -> Option<Format> {
    if let Some(format) = capture(beginning) {
        return Some(format);
    }
    let text = beginning.strip_prefix("\u{feff}".as_bytes()).unwrap_or(beginning);
    text.split(|byte| *byte == b'\n').find_map(|line| by_line(line.strip_suffix(b"\r").unwrap_or(line)))
}

fn capture(beginning: &[u8]) -> Option<Format> {
    match *beginning.first_chunk()? {
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xd4, 0xc3, 0xb2, 0xa1] => Some(Format::Pcap),
        [0xa1, 0xb2, 0x3c, 0x4d] | [0x4d, 0x3c, 0xb2, 0xa1] => Some(Format::Pcap),
        [0x34, 0xcd, 0xb2, 0xa1] => Some(Format::Pcap),
        [0x0a, 0x0d, 0x0d, 0x0a] => Some(Format::Pcapng),
        _ => None,
    }
}

fn by_line(line: &[u8]) -> Option<Format> {
    if line.first() == Some(&b'{') {
        return json(line);
    }
    if conntrack::recognises(line) {
        return Some(Format::Conntrack);
    }
    if ss::recognises(line) {
        return Some(Format::Ss);
    }
    vpc::recognises(line).then_some(Format::Vpc)
}

/// By names that stand in every record, so that a line that is cut off or damaged is enough.
fn json(line: &[u8]) -> Option<Format> {
    let has = |name: &str| memmem::find(line, name.as_bytes()).is_some();
    if has("\"enforcer.flow/") || has("\"enforcer.missed/") || has("\"enforcer.tamper/") {
        return Some(Format::EnforcerJsonl);
    }
    let flow =
        has("\"verdict\"") && (has("\"IP\"") || has("\"ip\"") || has("\"l4\"") || has("\"node_name\""));
    let other = ["\"flow\"", "\"lost_events\"", "\"node_status\"", "\"agent_event\"", "\"debug_event\""]
        .into_iter()
        .any(has);
    (flow || other).then_some(Format::Hubble)
}

/// What is in the window, reading no more than it takes to tell: a source may be somebody's live output.
pub(crate) fn recognise(window: &mut Window<'_>, options: &Options) -> Result<Format, ReadError> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    let mut judged = 0;
    window.fill(4)?;
    loop {
        let here = &window.bytes()[..window.bytes().len().min(FAR)];
        unsupported(here)?;
        // Up to the last whole line, once that is more than last time.
        let whole = memchr::memrchr(b'\n', here).map_or(0, |at| at + 1);
        if whole > judged || judged == 0 && capture(here).is_some() {
            if let Some(format) = detect(&here[..whole.max(here.len().min(4))]) {
                return Ok(format);
            }
            judged = whole;
        }
        if here.len() == FAR || !window.more()? {
            break;
        }
    }
    let here = &window.bytes()[..window.bytes().len().min(FAR)];
    if here.is_empty() {
        return Err(ReadError::Empty);
    }
    detect(here).ok_or_else(|| ReadError::Unknown { beginning: here[..here.len().min(SHOWN)].to_vec() })
}

/// What is known, and known not to be read.
fn unsupported(beginning: &[u8]) -> Result<(), ReadError> {
    let (what, help) = if beginning.starts_with(b"PAR1") {
        ("Parquet", "have the flow log delivered as text, or export its columns as text with a header line")
    } else if beginning.starts_with(&[0xff, 0xfe]) || beginning.starts_with(&[0xfe, 0xff]) {
        ("UTF-16 text", "convert it first: `iconv -f UTF-16 -t UTF-8`")
    } else if beginning.starts_with(b"<?xml") || beginning.starts_with(b"<conntrack") {
        ("XML", "leave out `-o xml`")
    } else if beginning.starts_with(&[0xa1, 0xb2, 0xcd, 0x34]) {
        ("a modified pcap file of a big-endian machine", "convert it first: `editcap -F pcapng OLD NEW`")
    } else {
        return Ok(());
    };
    Err(ReadError::Unsupported { what, help })
}

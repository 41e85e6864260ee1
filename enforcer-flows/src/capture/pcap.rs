//! pcap: a header, then packets one after the other with nothing between them.

use super::link::link;
use super::time::Clock;
use crate::Options;
use crate::error::ReadError;
use crate::input::Window;
use crate::item::Packet;
use crate::report::Report;
use pcap_parser::parse_pcap_header;

const HEADER: usize = 24;
/// Seconds between two packets beyond which a header is looked at twice.
const APART: u32 = 3600;
/// Seconds between two packets that aren't to be believed.
const FAR_APART: u32 = 30 * 86_400;

/// How far the reading has come.
#[derive(Default)]
struct Place {
    packet: u64,
    /// When the last packet came.
    seconds: Option<u32>,
}

/// How the packets of a file are written.
struct Layout {
    big: bool,
    /// Length of a packet's header.
    header: usize,
    /// Parts of a second in a packet's time.
    parts: u32,
    /// Most bytes kept of a packet.
    longest: usize,
}

/// A packet's header.
struct Frame {
    seconds: u32,
    part: u32,
    kept: u32,
    length: u32,
}

pub(crate) fn pcap(
    window: &mut Window<'_>,
    options: &Options,
    report: &mut Report<'_>,
) -> Result<(), ReadError> {
    let Ok((_, header)) = parse_pcap_header(window.fill(HEADER)?) else {
        return report.damage(0, || "the file's header isn't that of a pcap file".to_owned());
    };
    window.take(HEADER);
    let layout = Layout {
        big: header.is_bigendian(),
        header: if header.is_modified_format() { 24 } else { 16 },
        parts: if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 },
        longest: options.longest_packet,
    };
    let clock = Clock { units: Some(u64::from(layout.parts)), offset: 0 };
    // The upper half says how long Ethernet's checksum is.
    let number = (header.network.0 & 0xffff) as u16;
    let link = link(number);
    if link.is_none() {
        report.damage(0, || format!("packets of link type `{number}` aren't read"))?;
    }
    let mut place = Place::default();
    while let Some(frame) = next(window, &layout, report, &mut place)? {
        let bytes = &window.take(layout.header + frame.kept as usize)[layout.header..];
        let Some(link) = link else {
            report.skipped();
            continue;
        };
        let time = clock.time(u64::from(frame.seconds) * u64::from(layout.parts) + u64::from(frame.part));
        report.packet(Packet { time, link, bytes, length: frame.length.max(frame.kept) });
    }
    Ok(())
}

/// Puts the next packet whole into the window. `None` where there are no more.
fn next(
    window: &mut Window<'_>,
    layout: &Layout,
    report: &mut Report<'_>,
    place: &mut Place,
) -> Result<Option<Frame>, ReadError> {
    loop {
        let here = window.fill(layout.header)?;
        if here.is_empty() {
            return Ok(None);
        }
        place.packet += 1;
        let Some(frame) = layout.frame(here) else {
            window.take(layout.header);
            report.damage(place.packet, || "the file ends in the middle of a packet's header".to_owned())?;
            return Ok(None);
        };
        let kept = frame.kept as usize;
        if kept > layout.longest {
            report.damage(place.packet, || format!("a packet of {kept} bytes is longer than any may be"))?;
            resume(window, layout, place.seconds)?;
            continue;
        }
        if layout.doubtful(&frame, place.seconds)
            && !layout.follows(window.fill(2 * layout.header + kept)?, &frame)
        {
            report.damage(place.packet, || "what should be a packet's header makes no sense".to_owned())?;
            resume(window, layout, place.seconds)?;
            continue;
        }
        let here = window.fill(layout.header + kept)?.len();
        if here < layout.header + kept {
            window.take(here);
            report.damage(place.packet, || "the file ends in the middle of a packet".to_owned())?;
            return Ok(None);
        }
        place.seconds = Some(frame.seconds);
        return Ok(Some(frame));
    }
}

/// Goes to where packets seem to begin again: a header that makes sense, at whose end another one stands that does, or the file ends.
/// Nothing in the file marks that place; the worst that may come of it is that packets are missed, or read as what they aren't.
fn resume(window: &mut Window<'_>, layout: &Layout, before: Option<u32>) -> Result<(), ReadError> {
    window.take(1);
    loop {
        let reach = layout.header + layout.longest;
        let here = window.fill(layout.header + reach)?;
        if here.is_empty() {
            return Ok(());
        }
        let last = here.len().saturating_sub(reach).max(1);
        let found = (0..last).find(|at| layout.begins(here, *at, before));
        window.take(found.unwrap_or(last));
        if found.is_some() {
            return Ok(());
        }
    }
}

impl Layout {
    /// The header at the beginning of `bytes`.
    fn frame(&self, bytes: &[u8]) -> Option<Frame> {
        let bytes = bytes.get(..self.header)?;
        let word = |at: usize| {
            let word = *bytes.get(at..)?.first_chunk()?;
            Some(if self.big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
        };
        Some(Frame { seconds: word(0)?, part: word(4)?, kept: word(8)?, length: word(12)? })
    }

    /// Whether a header is one that few packets have: then what comes after it has to confirm it.
    fn doubtful(&self, frame: &Frame, before: Option<u32>) -> bool {
        let apart = before.is_some_and(|before| before.abs_diff(frame.seconds) > APART);
        apart || frame.kept == 0 || frame.kept > frame.length || frame.part >= self.parts
    }

    /// Whether the file ends, or another packet may begin, where the first in `bytes` ends.
    fn follows(&self, bytes: &[u8], first: &Frame) -> bool {
        let end = self.header + first.kept as usize;
        let next = bytes.get(end..).and_then(|bytes| self.frame(bytes));
        end == bytes.len()
            || next.is_some_and(|next| next.kept as usize <= self.longest && self.near(&next, first.seconds))
    }

    /// Whether a packet may have come within some time of another.
    fn near(&self, frame: &Frame, seconds: u32) -> bool {
        frame.part < self.parts && frame.seconds > 0 && frame.seconds.abs_diff(seconds) <= FAR_APART
    }

    /// Whether a packet seems to begin at `at`, and another one at its end, or the file ends there.
    /// Lengths alone would do four bytes further on, too, where all of a packet was kept; only its time tells the two apart.
    fn begins(&self, bytes: &[u8], at: usize, before: Option<u32>) -> bool {
        let Some(first) = self.sensible(bytes, at) else { return false };
        if before.is_some_and(|before| !self.near(&first, before)) {
            return false;
        }
        let end = at + self.header + first.kept as usize;
        end == bytes.len() || self.sensible(bytes, end).is_some_and(|next| self.near(&next, first.seconds))
    }

    /// The header at `at`, if it makes sense by itself.
    fn sensible(&self, bytes: &[u8], at: usize) -> Option<Frame> {
        let frame = self.frame(bytes.get(at..)?)?;
        let length = (1..=self.longest).contains(&(frame.kept as usize)) && frame.kept <= frame.length;
        (length && self.near(&frame, frame.seconds)).then_some(frame)
    }
}

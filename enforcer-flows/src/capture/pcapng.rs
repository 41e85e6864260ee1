//! pcapng: sections of blocks, each with its length before and after it.

use super::link::link;
use super::time::Clock;
use crate::Options;
use crate::error::ReadError;
use crate::input::Window;
use crate::item::{Gap, Link, Packet, Time};
use crate::report::Report;
use crate::text;
use pcap_parser::pcapng::{
    parse_enhancedpacketblock_be, parse_enhancedpacketblock_le, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le, parse_interfacestatisticsblock_be, parse_interfacestatisticsblock_le,
    parse_simplepacketblock_be, parse_simplepacketblock_le,
};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{OptionCode, PcapNGOption};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE: u32 = 2;
const SIMPLE: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED: u32 = 6;

const ORDER: u32 = 0x1a2b_3c4d;
const NAME: OptionCode = OptionCode(2);
const PACKETS_DROPPED: OptionCode = OptionCode(4);
const RESOLUTION: OptionCode = OptionCode(9);
const OFFSET: OptionCode = OptionCode(14);
const STARTED: OptionCode = OptionCode(2);
const DROPPED_BY_INTERFACE: OptionCode = OptionCode(5);
const DROPPED_BY_SYSTEM: OptionCode = OptionCode(7);

/// Type and length of a block stand before it, its length once more after it.
const FRAME: usize = 12;
/// What a block may have beside its packet.
const BESIDE: usize = 64 << 10;
/// Interfaces of a section.
const INTERFACES: usize = 4096;

/// What is known of an interface.
struct Interface {
    /// `None` where its link type isn't read.
    link: Option<Link>,
    number: u16,
    snap: u32,
    clock: Clock,
    name: Option<String>,
    /// Whether its packets were called unreadable.
    told: bool,
    /// Lost packets that were reported.
    lost: u64,
    /// When its last packet came.
    last: Option<Time>,
}

struct Reader<'w, 'i, 'r, 's> {
    window: &'w mut Window<'i>,
    report: &'r mut Report<'s>,
    longest: usize,
    big: bool,
    interfaces: Vec<Interface>,
    place: u64,
}

pub(crate) fn pcapng(
    window: &mut Window<'_>,
    options: &Options,
    report: &mut Report<'_>,
) -> Result<(), ReadError> {
    let longest = options.longest_packet + BESIDE;
    let mut reader = Reader { window, report, longest, big: false, interfaces: Vec::new(), place: 0 };
    while reader.block()? {}
    Ok(())
}

impl Reader<'_, '_, '_, '_> {
    /// Reads a block. `false` where there are no more.
    fn block(&mut self) -> Result<bool, ReadError> {
        let here = self.window.fill(FRAME)?;
        if here.is_empty() {
            return Ok(false);
        }
        self.place += 1;
        let Some(head) = here.first_chunk::<FRAME>() else {
            self.window.take(FRAME);
            self.report.damage(self.place, || "the file ends in the middle of a block".to_owned())?;
            return Ok(false);
        };
        let head = *head;
        if head[..4] == SECTION.to_be_bytes() && !self.order(head) {
            self.report.damage(self.place, || "a section's byte order isn't known".to_owned())?;
            return self.resume();
        }
        let (kind, length) = (word(&head, 0, self.big), word(&head, 4, self.big) as usize);
        if length < FRAME || !length.is_multiple_of(4) {
            self.report.damage(self.place, || format!("a block can't be {length} bytes long"))?;
            return self.resume();
        }
        if length > self.longest {
            return self.pass(kind, length);
        }
        let here = self.window.fill(length)?;
        if here.len() < length {
            let cut = here.len();
            self.window.take(cut);
            self.report.damage(self.place, || "the file ends in the middle of a block".to_owned())?;
            return Ok(false);
        }
        if word(here, length - 4, self.big) as usize != length {
            self.report.damage(self.place, || "a block's two lengths differ".to_owned())?;
            return self.resume();
        }
        let block = self.window.take(length);
        let context = Context { big: self.big, place: self.place, interfaces: &mut self.interfaces };
        let read = match kind {
            SECTION => {
                context.interfaces.clear();
                Some(())
            }
            INTERFACE => context.interface(block, self.report)?,
            ENHANCED => context.packet(block, self.report)?,
            SIMPLE => context.simple(block, self.report)?,
            OBSOLETE => context.obsolete(block, self.report)?,
            STATISTICS => context.statistics(block, self.report)?,
            _ => {
                self.report.skipped();
                Some(())
            }
        };
        if read.is_none() {
            self.report.damage(self.place, || format!("a block of type {kind} makes no sense"))?;
        }
        Ok(true)
    }

    /// Takes the byte order from a section's header, if it has one.
    fn order(&mut self, head: [u8; FRAME]) -> bool {
        let Some(big) = [true, false].into_iter().find(|big| word(&head, 8, *big) == ORDER) else {
            return false;
        };
        self.big = big;
        true
    }

    /// Passes over a block that is longer than what is kept, unless it should be shorter.
    fn pass(&mut self, kind: u32, length: usize) -> Result<bool, ReadError> {
        if matches!(kind, SECTION | INTERFACE | OBSOLETE | SIMPLE | STATISTICS | ENHANCED) {
            self.report
                .damage(self.place, || format!("a block of {length} bytes is longer than any may be"))?;
            return self.resume();
        }
        if self.window.skip(length as u64)? < length as u64 {
            self.report.damage(self.place, || "the file ends in the middle of a block".to_owned())?;
            return Ok(false);
        }
        self.report.skipped();
        Ok(true)
    }

    /// Goes to where a block seems to begin again: a known type, and a length that stands at its end once more.
    fn resume(&mut self) -> Result<bool, ReadError> {
        self.window.take(1);
        loop {
            let here = self.window.fill(FRAME + self.longest)?;
            if here.len() < FRAME {
                let rest = here.len();
                self.window.take(rest);
                return Ok(false);
            }
            let begins = |at: &usize| {
                let rest = &here[*at..];
                let (kind, length) = (word(rest, 0, self.big), word(rest, 4, self.big) as usize);
                matches!(kind, SECTION | INTERFACE | OBSOLETE | SIMPLE | STATISTICS | ENHANCED)
                    && (FRAME..=self.longest.min(rest.len())).contains(&length)
                    && word(rest, length - 4, self.big) as usize == length
            };
            let last = here.len().saturating_sub(self.longest).max(1);
            let found = (0..last).find(begins);
            self.window.take(found.unwrap_or(last));
            if found.is_some() {
                return Ok(true);
            }
        }
    }
}

/// What a block is read in. `None` where it makes no sense.
struct Context<'c> {
    big: bool,
    place: u64,
    interfaces: &'c mut Vec<Interface>,
}

type Read = Result<Option<()>, ReadError>;

impl Context<'_> {
    fn interface(self, block: &[u8], report: &mut Report<'_>) -> Read {
        let Some(block) = self.parse(
            block,
            |block| Some(parse_interfacedescriptionblock_le(block).ok()?.1),
            |block| Some(parse_interfacedescriptionblock_be(block).ok()?.1),
        ) else {
            return Ok(None);
        };
        if self.interfaces.len() == INTERFACES {
            report.damage(self.place, || format!("a section has more than {INTERFACES} interfaces"))?;
            return Ok(Some(()));
        }
        let resolution = self.option(&block.options, RESOLUTION).map_or(6, |value: [u8; 1]| value[0]);
        let offset = self.option(&block.options, OFFSET).map_or(0, |value| self.long(value).cast_signed());
        let number = u16::try_from(block.linktype.0).unwrap_or(u16::MAX);
        let name =
            block.options.iter().find(|option| option.code == NAME).and_then(|option| option.as_bytes().ok());
        self.interfaces.push(Interface {
            link: link(number),
            number,
            snap: block.snaplen,
            clock: Clock { units: Clock::units(resolution), offset },
            name: name.map(text::name),
            told: false,
            lost: 0,
            last: None,
        });
        Ok(Some(()))
    }

    fn packet(self, block: &[u8], report: &mut Report<'_>) -> Read {
        let Some(block) = self.parse(
            block,
            |block| Some(parse_enhancedpacketblock_le(block).ok()?.1),
            |block| Some(parse_enhancedpacketblock_be(block).ok()?.1),
        ) else {
            return Ok(None);
        };
        let dropped = self.option(&block.options, PACKETS_DROPPED).map_or(0, |value| self.long(value));
        let Some(interface) = self.interfaces.get_mut(block.if_id as usize) else { return Ok(None) };
        let time = interface.clock.time(u64::from(block.ts_high) << 32 | u64::from(block.ts_low));
        if dropped > 0 {
            interface.lose(dropped, interface.last, time, report);
        }
        interface.last = time;
        interface.hand_on(self.place, time, block.packet_data(), block.origlen, report)?;
        Ok(Some(()))
    }

    /// The packet block that the enhanced one replaced. The library leaves it to us.
    fn obsolete(self, block: &[u8], report: &mut Report<'_>) -> Read {
        let half = word(block, 8, self.big);
        let (index, dropped) =
            if self.big { (half >> 16, half & 0xffff) } else { (half & 0xffff, half >> 16) };
        let [high, low, kept, length] = [12, 16, 20, 24].map(|at| word(block, at, self.big));
        let Some(bytes) = block.get(28..block.len() - 4).and_then(|rest| rest.get(..kept as usize)) else {
            return Ok(None);
        };
        let Some(interface) = self.interfaces.get_mut(index as usize) else { return Ok(None) };
        let time = interface.clock.time(u64::from(high) << 32 | u64::from(low));
        // All ones: not known.
        if !matches!(dropped, 0 | 0xffff) {
            interface.lose(u64::from(dropped), interface.last, time, report);
        }
        interface.last = time;
        interface.hand_on(self.place, time, bytes, length, report)?;
        Ok(Some(()))
    }

    fn simple(self, block: &[u8], report: &mut Report<'_>) -> Read {
        let Some(block) = self.parse(
            block,
            |block| Some(parse_simplepacketblock_le(block).ok()?.1),
            |block| Some(parse_simplepacketblock_be(block).ok()?.1),
        ) else {
            return Ok(None);
        };
        let Some(interface) = self.interfaces.first_mut() else { return Ok(None) };
        let bytes = block.packet_data();
        let kept = if interface.snap == 0 { bytes.len() } else { bytes.len().min(interface.snap as usize) };
        interface.hand_on(self.place, None, &bytes[..kept], block.origlen, report)?;
        Ok(Some(()))
    }

    fn statistics(self, block: &[u8], report: &mut Report<'_>) -> Read {
        let Some(block) = self.parse(
            block,
            |block| Some(parse_interfacestatisticsblock_le(block).ok()?.1),
            |block| Some(parse_interfacestatisticsblock_be(block).ok()?.1),
        ) else {
            return Ok(None);
        };
        let counter = |code| self.option(&block.options, code).map_or(0, |value| self.long(value));
        let dropped = counter(DROPPED_BY_INTERFACE).saturating_add(counter(DROPPED_BY_SYSTEM));
        let started = self.option::<8>(&block.options, STARTED);
        let started = started
            .map(|value| u64::from(word(&value, 0, self.big)) << 32 | u64::from(word(&value, 4, self.big)));
        let Some(interface) = self.interfaces.get_mut(block.if_id as usize) else { return Ok(None) };
        // Counted from the capture's beginning; what packets told of is in it.
        let more = dropped.saturating_sub(interface.lost);
        if more > 0 {
            let end = interface.clock.time(u64::from(block.ts_high) << 32 | u64::from(block.ts_low));
            interface.lose(more, started.and_then(|started| interface.clock.time(started)), end, report);
        }
        Ok(Some(()))
    }

    fn parse<'b, T>(
        &self,
        block: &'b [u8],
        little: fn(&'b [u8]) -> Option<T>,
        big: fn(&'b [u8]) -> Option<T>,
    ) -> Option<T> {
        if self.big { big(block) } else { little(block) }
    }

    /// The value of an option that is `N` bytes long, in the section's byte order.
    fn option<const N: usize>(&self, options: &[PcapNGOption<'_>], code: OptionCode) -> Option<[u8; N]> {
        options.iter().find(|option| option.code == code)?.as_bytes().ok()?.try_into().ok()
    }

    const fn long(&self, value: [u8; 8]) -> u64 {
        if self.big { u64::from_be_bytes(value) } else { u64::from_le_bytes(value) }
    }
}

impl Interface {
    fn hand_on(
        &mut self,
        place: u64,
        time: Option<Time>,
        bytes: &[u8],
        length: u32,
        report: &mut Report<'_>,
    ) -> Result<(), ReadError> {
        if let Some(link) = self.link {
            let length = length.max(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            report.packet(Packet { time, link, bytes, length });
            return Ok(());
        }
        report.skipped();
        if self.told {
            return Ok(());
        }
        self.told = true;
        report.damage(place, || format!("packets of link type `{}` aren't read", self.number))
    }

    fn lose(&mut self, missing: u64, start: Option<Time>, end: Option<Time>, report: &mut Report<'_>) {
        self.lost = self.lost.saturating_add(missing);
        report.gap(&Gap { start, end, of: self.name.clone(), word: "lost", missing: Some(missing) });
    }
}

/// The number at `at`, 0 where `bytes` are too short for one.
fn word(bytes: &[u8], at: usize, big: bool) -> u32 {
    let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return 0 };
    if big { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) }
}

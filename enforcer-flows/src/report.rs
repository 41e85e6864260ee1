//! What a reader has to say, counted on its way to the sink.

use crate::error::ReadError;
use crate::input::Packing;
use crate::item::{Damage, Flow, Gap, Item, Packet, Sink};
use crate::text::excerpt;
use crate::{Format, Options};

/// Damages handed on, and notes kept: enough to see what is wrong, few enough not to drown in.
const LISTED: u64 = 100;
const NOTES: usize = 16;

/// What was read of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it is.
    pub format: Format,
    /// How it was packed.
    pub packing: Packing,
    /// Its size, unpacked.
    pub bytes: u64,
    /// Packets handed on.
    pub packets: u64,
    /// Packets of which the capture kept only a part; they are among `packets`.
    pub cut: u64,
    /// Records about flows handed on.
    pub flows: u64,
    /// Gaps handed on.
    pub gaps: u64,
    /// Things that couldn't be read. The first hundred are handed on.
    pub damaged: u64,
    /// Records that are well-formed and say nothing about traffic, or nothing that isn't said elsewhere.
    pub skipped: u64,
    /// What a person should know about the reading as a whole, such as fields that aren't known.
    pub notes: Vec<String>,
}

/// Counts, and hands on to the sink.
pub(crate) struct Report<'a> {
    pub(crate) summary: Summary,
    sink: &'a mut dyn Sink,
    strict: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn new(format: Format, packing: Packing, options: &Options, sink: &'a mut dyn Sink) -> Self {
        let summary = Summary {
            format,
            packing,
            bytes: 0,
            packets: 0,
            cut: 0,
            flows: 0,
            gaps: 0,
            damaged: 0,
            skipped: 0,
            notes: Vec::new(),
        };
        Self { summary, sink, strict: options.strict }
    }

    pub(crate) fn packet(&mut self, packet: Packet<'_>) {
        self.summary.packets += 1;
        self.summary.cut += u64::from(packet.bytes.len() < packet.length as usize);
        self.sink.take(Item::Packet(packet));
    }

    pub(crate) fn flow(&mut self, flow: &Flow) {
        self.summary.flows += 1;
        self.sink.take(Item::Flow(flow));
    }

    pub(crate) fn gap(&mut self, gap: &Gap) {
        self.summary.gaps += 1;
        self.sink.take(Item::Gap(gap));
    }

    pub(crate) fn skipped(&mut self) {
        self.summary.skipped += 1;
    }

    /// Something at `place` can't be read. An error where nothing may be damaged.
    pub(crate) fn damage(&mut self, place: u64, what: impl FnOnce() -> String) -> Result<(), ReadError> {
        self.summary.damaged += 1;
        if self.strict {
            return Err(ReadError::Damaged(Damage { place, what: what() }));
        }
        if self.summary.damaged <= LISTED {
            self.sink.take(Item::Damage(&Damage { place, what: what() }));
        }
        Ok(())
    }

    /// Likewise, with the text that it is about.
    pub(crate) fn damaged_text(&mut self, place: u64, what: &str, text: &[u8]) -> Result<(), ReadError> {
        self.damage(place, || format!("{what} `{}`", excerpt(text)))
    }

    pub(crate) fn note(&mut self, note: impl FnOnce() -> String) {
        if self.summary.notes.len() < NOTES {
            self.summary.notes.push(note());
        }
    }
}

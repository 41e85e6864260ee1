//! What ends the reading of a source.

use crate::item::Damage;
use crate::text::excerpt;
use std::io;

/// Why a source wasn't read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system failed to deliver it.
    #[error("the input can't be read")]
    Io(#[from] io::Error),
    /// Nothing is in it.
    #[error("the input is empty")]
    Empty,
    /// Its beginning is that of no format.
    #[error("the format isn't one that is known; it begins with `{}`", excerpt(.beginning))]
    Unknown {
        /// Its first bytes.
        beginning: Vec<u8>,
    },
    /// It is something that isn't read.
    #[error("{what} isn't read")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// What to do about it.
        help: &'static str,
    },
    /// A flow log whose fields don't tell who talked to whom.
    #[error("the flow log has no field `{missing}`")]
    Fields {
        /// The field that would be needed.
        missing: &'static str,
    },
    /// The first thing that couldn't be read, where nothing may be.
    #[error("record {}: {}", .0.place, .0.what)]
    Damaged(Damage),
}

impl ReadError {
    /// The way out, where there is one.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Io(_) | Self::Damaged(_) => None,
            Self::Empty => {
                Some("if there was no traffic at all, say with `--format` what it would have been")
            }
            Self::Unknown { .. } => Some(
                "pcap, pcapng, vpc, hubble, conntrack, ss and enforcer-jsonl are read, also packed by gzip or zstd; say with \
                 `--format` which one it is. A VPC flow log in a custom format needs its header line",
            ),
            Self::Unsupported { help, .. } => Some(help),
            Self::Fields { .. } => Some(
                "record the flow log with at least `srcaddr`, `dstaddr`, `srcport`, `dstport` and `protocol`",
            ),
        }
    }
}

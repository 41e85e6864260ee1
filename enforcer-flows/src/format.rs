//! The formats that are read, and the words for them.

use std::fmt;
use std::str::FromStr;

/// A format of recorded traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Packets as `tcpdump -w` writes them.
    Pcap,
    /// Packets as Wireshark writes them.
    Pcapng,
    /// AWS VPC flow logs, as text.
    Vpc,
    /// Hubble's JSON lines.
    Hubble,
    /// A conntrack table, or conntrack events.
    Conntrack,
    /// A table of sockets.
    Ss,
    /// What `enforcer observe -o jsonl` writes.
    EnforcerJsonl,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] =
        [Self::Pcap, Self::Pcapng, Self::Vpc, Self::Hubble, Self::Conntrack, Self::Ss, Self::EnforcerJsonl];

    /// The word for it, as in `--format`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
            Self::Vpc => "vpc",
            Self::Hubble => "hubble",
            Self::Conntrack => "conntrack",
            Self::Ss => "ss",
            Self::EnforcerJsonl => "enforcer-jsonl",
        }
    }

    /// Whether it says what packets looked like, not only that there were some.
    #[must_use]
    pub const fn has_packets(self) -> bool {
        matches!(self, Self::Pcap | Self::Pcapng)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// No format has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no format is called `{}`", .0.escape_debug())]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.word() == word)
            .ok_or_else(|| UnknownFormat(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_formats() {
        for format in Format::ALL {
            assert_eq!(format.word().parse(), Ok(format));
        }
        assert_eq!("netflow".parse::<Format>().unwrap_err().to_string(), "no format is called `netflow`");
    }
}

//! Recorded traffic of every format, packed or not.
//!
//! An input's first byte says which format it is forced to be, or that its content is to tell; the rest is the file.

use enforcer_flows::{Format, Item, Options, ReadError, Sink, Summary, network, read};
use std::io::{self, Read};

/// Longest text of a damage: what is wrong, and an excerpt that is escaped.
const TOLD: usize = 1024;

pub(crate) fn run(bytes: &[u8]) {
    let Some((first, file)) = bytes.split_first() else { return };
    let format = Format::ALL.get(usize::from(*first) % 8).copied();
    let options = Options { format, longest_line: 1024, longest_packet: 1024, ..Options::default() };
    let (whole, result) = told(file, &options);
    // A packed stream loses what was unpacked together with a break.
    if file.starts_with(&[0x1f, 0x8b]) || file.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return;
    }
    let (pieces, again) = told(Pieces(file, usize::from(*first >> 3) + 1), &options);
    assert_eq!(whole, pieces, "how the bytes come makes no difference");
    match (result, again) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
        (one, other) => panic!("{one:?}\n{other:?}"),
    }
}

fn told(input: impl Read, options: &Options) -> (Vec<String>, Result<Summary, ReadError>) {
    let mut check = Check(Vec::new());
    let result = read(input, options, &mut check);
    if let Ok(summary) = &result {
        let said = summary.packets + summary.flows + summary.gaps + summary.damaged.min(100);
        assert_eq!(said, check.0.len() as u64, "everything is counted");
    }
    if let Err(error) = &result {
        shown(&error.to_string());
    }
    (check.0, result)
}

/// Keeps what is said as text.
struct Check(Vec<String>);

impl Sink for Check {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Packet(packet) => {
                assert!(
                    packet.bytes.len() <= 1024 + (64 << 10) && packet.bytes.len() <= packet.length as usize
                );
                assert!(network(&packet).is_none_or(|above| above.offset <= packet.bytes.len()));
            }
            Item::Damage(damage) => shown(&damage.what),
            Item::Flow(flow) => {
                assert!(flow.icmp.is_none() || matches!(flow.protocol, 1 | 58), "{flow:?}")
            }
            Item::Gap(_) => {}
        }
        self.0.push(format!("{item:?}"));
    }
}

fn shown(text: &str) {
    assert!(text.len() <= TOLD, "{} bytes", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// Hands out so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.1);
        self.0.read(&mut buffer[..count])
    }
}

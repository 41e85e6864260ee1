//! What is cut off, spoilt or hostile: nothing breaks, nothing grows, and what is whole is still read.

mod seen;

use enforcer_flows::{Format, Item, Options, ReadError, Sink, Summary, network, read};
use proptest::prelude::*;
use seen::{Seen, seen, seen_by};
use std::fs;
use std::path::Path;

/// Every recording there is, with its name.
fn recordings() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let kinds = ["pcap", "pcapng", "txt", "jsonl", "log"];
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let wanted = entries
        .filter(|path| path.extension().is_some_and(|kind| kinds.iter().any(|wanted| kind == *wanted)));
    let mut all: Vec<(String, Vec<u8>)> = wanted
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    all.sort();
    assert!(all.len() > 12);
    all
}

fn everything(seen: &Seen) -> Vec<&String> {
    seen.packets.iter().chain(&seen.flows).collect()
}

fn forced(input: &[u8], format: Format) -> (Seen, Summary) {
    let (seen, result) = seen_by(input, &Options { format: Some(format), ..Options::default() });
    (seen, result.unwrap())
}

#[test]
fn whatever_came_before_the_end_of_a_file_is_read() {
    for (name, bytes) in recordings() {
        let (whole, summary) = seen(&bytes);
        let whole = everything(&whole);
        for cut in (0..bytes.len()).step_by(13) {
            let (part, told) = forced(&bytes[..cut], summary.format);
            // A line may end where it makes sense without what was cut off, and a table is read as a whole.
            let exact = summary.format.has_packets();
            assert!(!exact || told.damaged <= 1, "{name} at {cut}: {:?}", part.damages);
            let part = everything(&part);
            let same = part.len().saturating_sub(if exact { 0 } else { 4 });
            let same = if summary.format == Format::Ss { 0 } else { same };
            assert_eq!(part[..same], whole[..same], "{name} at {cut}");
        }
    }
}

#[test]
fn a_spoilt_bit_costs_few_records() {
    for (name, bytes) in recordings() {
        let (whole, summary) = seen(&bytes);
        let whole = everything(&whole);
        let header = if summary.format.has_packets() { 400 } else { 0 };
        let mut lost = Vec::new();
        for place in (header * 8..bytes.len() * 8).step_by(61) {
            let mut spoilt = bytes.clone();
            spoilt[place / 8] ^= 1 << (place % 8);
            let (seen, _) = forced(&spoilt, summary.format);
            let kept = everything(&seen);
            lost.push(whole.iter().filter(|record| !kept.contains(record)).count());
        }
        lost.sort_unstable();
        let (half, most) = (lost[lost.len() / 2], lost[lost.len() * 99 / 100]);
        // A line of a conntrack table is up to four records, and a socket that listens speaks for all with its port.
        let bound = if summary.format.has_packets() { 3 } else { 8 };
        assert!(half <= 4 && most <= bound, "{name}: {half} {most} of {}", whole.len());
    }
}

#[test]
fn giant_lines_are_passed_over() {
    let good = "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT OK\n";
    for filler in [b'x', b' ', b'{', b'"', b'2', 0, 0xff] {
        let mut log = good.as_bytes().to_vec();
        log.resize(log.len() + (5 << 20), filler);
        log.push(b'\n');
        log.extend(good.as_bytes());
        let (seen, summary) = seen(&log);
        assert_eq!((summary.flows, summary.damaged), (2, 1));
        assert_eq!(seen.damages, ["2: the line is longer than 1048576 bytes"]);
    }
}

#[test]
fn depth_is_no_way_in() {
    let deep = format!("{{\"flow\":{}{}}}\n", "{\"IP\":".repeat(100_000), "}".repeat(100_000));
    let (_, summary) = forced(deep.as_bytes(), Format::Hubble);
    assert_eq!(summary.damaged, 1);
    let deep = format!("{{\"schema\":\"enforcer.flow/v1\",\"source\":{}", "[".repeat(500_000));
    let (_, summary) = forced(deep.as_bytes(), Format::EnforcerJsonl);
    assert_eq!(summary.damaged, 1);
}

#[test]
fn only_the_first_damages_are_handed_on_and_all_are_counted() {
    let log = "nonsense\n".repeat(5000);
    let (seen, summary) = forced(log.as_bytes(), Format::Vpc);
    assert_eq!((seen.damages.len(), summary.damaged), (100, 5000));
}

#[test]
fn strictness_ends_at_the_first_damage() {
    for (name, bytes) in recordings() {
        let (_, summary) = seen(&bytes);
        let strict = Options { format: Some(summary.format), strict: true, ..Options::default() };
        assert_eq!(seen_by(&bytes, &strict).1.unwrap(), summary, "{name}");
        let mut spoilt = bytes.clone();
        match summary.format {
            Format::Pcap | Format::Pcapng => spoilt.truncate(bytes.len() - 1),
            _ => spoilt.extend(b"nonsense"),
        }
        assert!(matches!(seen_by(&spoilt, &strict).1, Err(ReadError::Damaged(_))), "{name}");
    }
}

/// Takes everything and keeps nothing.
struct Nothing;

impl Sink for Nothing {
    fn take(&mut self, item: Item<'_>) {
        if let Item::Packet(packet) = item {
            assert!(network(&packet).is_none_or(|above| above.offset <= packet.bytes.len()));
        }
    }
}

fn formats() -> impl Strategy<Value = Option<Format>> {
    prop_oneof![Just(None), proptest::sample::select(Format::ALL.to_vec()).prop_map(Some)]
}

/// The beginnings of captures, so that what is random comes after them.
fn beginning() -> impl Strategy<Value = Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut all = vec![Vec::new()];
    for (name, length) in [("web.pcap", 24), ("cooked2.pcap", 24), ("sql.pcapng", 400)] {
        all.push(fs::read(dir.join(name)).unwrap()[..length].to_vec());
    }
    proptest::sample::select(all)
}

proptest! {
    #[test]
    fn no_bytes_break_a_reader(format in formats(), mut input in beginning(), rest in prop::collection::vec(any::<u8>(), 0..2000)) {
        input.extend(rest);
        let _ = read(&input[..], &Options { format, longest_line: 300, longest_packet: 500, ..Options::default() }, &mut Nothing);
    }

    #[test]
    fn no_words_break_a_reader(format in formats(), words in prop::collection::vec("[a-z0-9.:=\\[\\]{}\"%*-]{0,12}|src=1.2.3.4|dst=::1|tcp|ESTAB|6|OK|-|\\{\"flow\":|\n", 0..200)) {
        let _ = read(words.join(" ").as_bytes(), &Options { format, ..Options::default() }, &mut Nothing);
    }
}

//! Packed inputs, whole and broken, and how far the reading of them has come.

mod seen;

use enforcer_flows::{Counted, Counter, Format, Item, Options, Packing, ReadError, Sink, read};
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use seen::{seen, seen_by};
use std::cell::Cell;
use std::io::{self, Read, Write};

/// A log whose records differ, so that it doesn't pack into nothing.
fn log(records: u32) -> String {
    let record = |index: u32| {
        let port = 1024 + index.wrapping_mul(2_654_435_761) % 60_000;
        format!(
            "2 123456789010 eni-1235b8ca123456789 10.0.0.{} 10.0.1.1 {port} 443 6 {index} 60 10 20 ACCEPT OK\n",
            index % 250
        )
    };
    (0..records).map(record).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

#[test]
fn gzip_and_zstd_are_undone() {
    let log = log(20_000);
    let (plain, summary) = seen(log.as_bytes());
    assert_eq!((summary.packing, summary.flows), (Packing::None, 20_000));
    for (packed, packing) in [(gzip(&log), Packing::Gzip), (zstd(&log), Packing::Zstd)] {
        let (unpacked, told) = seen(&packed);
        assert_eq!((told.packing, told.bytes, told.damaged), (packing, log.len() as u64, 0));
        assert!(unpacked.flows == plain.flows);
    }
    let capture = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/web.pcap")).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&capture).unwrap();
    let (unpacked, told) = seen(&encoder.finish().unwrap());
    assert_eq!((told.format, told.packing), (Format::Pcap, Packing::Gzip));
    assert_eq!(unpacked.packets, seen(&capture).0.packets);
}

#[test]
fn members_follow_one_another() {
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
    let parts = [format!("{header}{}", log(1000)), format!("{header}{}", log(10)), String::new(), log(1)];
    let skipped: &[u8] = &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let gzipped = parts.iter().flat_map(|part| gzip(part)).collect::<Vec<u8>>();
    let zstded = parts.iter().flat_map(|part| [zstd(part), skipped.to_vec()].concat()).collect::<Vec<u8>>();
    for packed in [gzipped, zstded] {
        let (seen, summary) = seen(&packed);
        assert_eq!((summary.flows, summary.damaged), (1011, 0), "{:?}", seen.damages);
    }
}

#[test]
fn what_came_before_a_break_counts() {
    let log = log(20_000);
    for packed in [gzip(&log), zstd(&log)] {
        let cut = &packed[..packed.len() / 2];
        let (seen, summary) = seen(cut);
        assert!((5_000..15_000).contains(&summary.flows), "{}", summary.flows);
        assert!((1..=2).contains(&summary.damaged), "{:?}", seen.damages);
        assert!(
            seen.damages.last().unwrap().contains("packed is damaged or ends early"),
            "{:?}",
            seen.damages
        );
        let mut spoilt = packed.clone();
        let middle = packed.len() / 2;
        spoilt[middle..middle + 64].fill(0x55);
        let (_, summary) = self::seen(&spoilt);
        assert!(summary.damaged >= 1 && summary.flows > 1000);
        let strict = Options { strict: true, ..Options::default() };
        assert!(matches!(seen_by(cut, &strict).1, Err(ReadError::Damaged(_))));
    }
}

#[test]
fn a_packed_beginning_that_breaks_is_said_so() {
    for beginning in [
        &[0x1f, 0x8b, 8, 0, 0][..],
        &[0x1f, 0x8b, 9, 9, 9, 9],
        &[0x28, 0xb5, 0x2f, 0xfd],
        &[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff],
    ] {
        let (_, result) = seen_by(beginning, &Options::default());
        let error = result.unwrap_err().to_string();
        assert!(error.contains("packed is damaged or ends early"), "{error}");
    }
}

/// Fails once it has handed out what it has.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is gone")),
            count => Ok(count),
        }
    }
}

#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn take(&mut self, item: Item<'_>) {
        self.0 += u64::from(matches!(item, Item::Flow(_)));
    }
}

#[test]
fn a_failing_input_is_an_error_and_no_damage() {
    let log = log(20_000);
    for input in [log.clone().into_bytes(), gzip(&log), zstd(&log)] {
        let mut count = Count::default();
        let half = &input[..input.len() / 2];
        let error = read(Failing(half), &Options::default(), &mut count).unwrap_err();
        let ReadError::Io(error) = error else { panic!("{error}") };
        assert_eq!(error.to_string(), "the disk is gone");
        assert!(count.0 > 5_000, "{}", count.0);
    }
}

#[test]
fn progress_is_that_of_the_file() {
    let packed = gzip(&log(20_000));
    let counter = Counter::default();
    struct Watch(Counter, Vec<u64>);
    impl Sink for Watch {
        fn take(&mut self, _item: Item<'_>) {
            self.1.push(self.0.bytes());
        }
    }
    let mut watch = Watch(counter.clone(), Vec::new());
    read(Counted::new(&packed[..], counter.clone()), &Options::default(), &mut watch).unwrap();
    assert_eq!(counter.bytes(), packed.len() as u64);
    assert!(watch.1.is_sorted() && watch.1[0] < packed.len() as u64 / 2);
}

/// Hands out a line a time, and the next one only once all before it have been taken.
struct Live<'a> {
    lines: Vec<&'a [u8]>,
    handed: u64,
    taken: &'a Cell<u64>,
}

impl Read for Live<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert_eq!(self.taken.get(), self.handed);
        let Some(line) = self.lines.first_mut() else { return Ok(0) };
        let count = line.read(buffer)?;
        if line.is_empty() {
            self.lines.remove(0);
            self.handed += 1;
        }
        Ok(count)
    }
}

struct Taken<'a>(&'a Cell<u64>);

impl Sink for Taken<'_> {
    fn take(&mut self, _item: Item<'_>) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_live_source_is_read_as_it_comes() {
    let log = log(30);
    let taken = Cell::new(0);
    let mut live = Live {
        lines: log.as_bytes().split_inclusive(|byte| *byte == b'\n').collect(),
        handed: 0,
        taken: &taken,
    };
    let summary = read(&mut live, &Options::default(), &mut Taken(&taken)).unwrap();
    assert_eq!((summary.flows, live.handed), (30, 30));
}

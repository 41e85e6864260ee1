//! Records and packets a second, from a file and with everything that reading one takes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use enforcer_flows::{Item, Options, Sink, Summary, network, read};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

/// Records in a file: a million to measure, few where the bench is only tried, as tests do.
static RECORDS: LazyLock<u32> =
    LazyLock::new(|| if std::env::args().any(|argument| argument == "--bench") { 1_000_000 } else { 1000 });

/// Looks at everything, as whoever takes it would have to.
#[derive(Default)]
struct Look(u64);

impl Sink for Look {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Packet(packet) => {
                self.0 += black_box(network(&packet)).map_or(0, |above| above.offset as u64)
            }
            Item::Flow(flow) => self.0 += black_box(flow).packets,
            Item::Gap(_) | Item::Damage(_) => panic!("{item:?}"),
        }
    }
}

fn whole(path: &Path) -> Summary {
    let mut look = Look::default();
    let summary = read(File::open(path).unwrap(), &Options::default(), &mut look).unwrap();
    assert_eq!((summary.flows + summary.packets, summary.damaged), (u64::from(*RECORDS), 0));
    black_box(look.0);
    summary
}

fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Records with as many different addresses, ports and counters as a busy log has.
fn records(make: impl Fn(u32, u32, &mut Vec<u8>)) -> Vec<u8> {
    let mut log = Vec::new();
    for index in 0..*RECORDS {
        make(index, index.wrapping_mul(2_654_435_761), &mut log);
    }
    log
}

fn default_format() -> Vec<u8> {
    records(|index, random, log| {
        let [a, b, c, d] = random.to_be_bytes();
        let port = 32768 + random % 28000;
        writeln!(
            log,
            "2 123456789010 eni-0a1b2c3d4e5f6{a:04x} 10.{a}.{b}.{c} 172.31.{d}.{a} {port} 443 6 {} {} {} {} ACCEPT OK",
            random % 97,
            random % 100_003,
            1_700_000_000 + index / 100,
            1_700_000_060 + index / 100,
        )
        .unwrap();
    })
}

/// All fields of versions 2 to 5.
fn long_format() -> Vec<u8> {
    let mut log = b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id \
                    subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id \
                    pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path\n"
        .to_vec();
    log.extend(records(|index, random, log| {
        let [a, b, c, d] = random.to_be_bytes();
        let port = 32768 + random % 28000;
        writeln!(
            log,
            "5 123456789010 eni-0a1b2c3d4e5f6{a:04x} 10.{a}.{b}.{c} 172.31.{d}.{a} {port} 443 6 {} {} {} {} ACCEPT OK vpc-0123456789abcdef0 \
             subnet-0123456789abcdef0 i-0123456789abcd{a:03x} 3 IPv4 10.{a}.{b}.{c} 172.31.{d}.{a} eu-west-1 euw1-az3 - - - - egress 1",
            random % 97,
            random % 100_003,
            1_700_000_000 + index / 100,
            1_700_000_060 + index / 100,
        )
        .unwrap();
    }));
    log
}

/// The packets of a recording, over and over.
fn packets() -> Vec<u8> {
    let recording = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/web.pcap")).unwrap();
    let mut file = recording[..24].to_vec();
    let mut at = 24;
    for _ in 0..*RECORDS {
        let kept = u32::from_le_bytes(recording[at + 8..at + 12].try_into().unwrap()) as usize;
        file.extend(&recording[at..at + 16 + kept]);
        at += 16 + kept;
        if at == recording.len() {
            at = 24;
        }
    }
    file
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    group
        .throughput(Throughput::Elements(u64::from(*RECORDS)))
        .sample_size(10)
        .measurement_time(Duration::from_secs(8));
    let log = default_format();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&log).unwrap();
    let files = [
        ("vpc, default format", written("vpc.log", &log)),
        ("vpc, default format, gzip", written("vpc.log.gz", &encoder.finish().unwrap())),
        ("vpc, 29 fields", written("vpc-long.log", &long_format())),
        ("pcap", written("packets.pcap", &packets())),
    ];
    for (name, path) in &files {
        group.bench_function(*name, |b| b.iter(|| whole(path)));
    }
    group.finish();
    files.iter().for_each(|(_, path)| fs::remove_file(path).unwrap());
}

criterion_group!(benches, bench);
criterion_main!(benches);

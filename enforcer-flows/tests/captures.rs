//! Captures that real programs made, held against what tshark reads of them.

mod seen;

use enforcer_flows::{Format, Item, Link, Network, Options, Packet, Sink, network, read};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines as `record.sh` has tshark write them.
#[derive(Default)]
struct AsTshark(Vec<String>);

impl Sink for AsTshark {
    fn take(&mut self, item: Item<'_>) {
        let Item::Packet(packet) = item else { panic!("{item:?}") };
        let time = packet.time.unwrap();
        let [source, destination] = addresses(&packet);
        let (v4, v6) = if source.contains(':') {
            ("\t".to_owned(), format!("{source}\t{destination}"))
        } else {
            (format!("{source}\t{destination}"), "\t".to_owned())
        };
        self.0.push(format!(
            "{}.{:09}\t{}\t{}\t{v4}\t{v6}\t{}",
            time / 1_000_000_000,
            time % 1_000_000_000,
            packet.bytes.len(),
            packet.length,
            ports(&packet)
        ));
    }
}

fn addresses(packet: &Packet<'_>) -> [String; 2] {
    let Network { ethertype, offset, .. } = network(packet).unwrap();
    let bytes = &packet.bytes[offset..];
    match ethertype {
        0x0800 => [12, 16]
            .map(|at| std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap()).to_string()),
        0x86dd => [8, 24].map(|at| {
            std::net::Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap()).to_string()
        }),
        other => panic!("{other:04x}"),
    }
}

/// Ports of TCP and UDP, by etherparse. A packet that was cut off behind its ports has them all the same.
fn ports(packet: &Packet<'_>) -> String {
    let Network { offset, .. } = network(packet).unwrap();
    let sliced = SlicedPacket::from_ip(&packet.bytes[offset..]);
    match sliced.as_ref().map(|sliced| (&sliced.net, &sliced.transport)) {
        Ok((_, Some(TransportSlice::Tcp(tcp)))) => {
            format!("{}\t{}\t\t", tcp.source_port(), tcp.destination_port())
        }
        Ok((_, Some(TransportSlice::Udp(udp)))) => {
            format!("\t\t{}\t{}", udp.source_port(), udp.destination_port())
        }
        Ok((Some(NetSlice::Ipv4(_) | NetSlice::Ipv6(_)), _)) => "\t\t\t".to_owned(),
        _ => {
            let header = if packet.bytes[offset] >> 4 == 4 { 20 } else { 40 };
            let at = |at: usize| {
                u16::from_be_bytes([
                    packet.bytes[offset + header + at],
                    packet.bytes[offset + header + at + 1],
                ])
            };
            format!("{}\t{}\t\t", at(0), at(2))
        }
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// What tshark read, ports inside the errors of ICMP left out: they are the quoted packet's.
fn by_tshark(name: &str, icmp: &[String]) -> Vec<String> {
    let lines = fs::read_to_string(data(&format!("{name}.tshark"))).unwrap();
    let blank = |line: &str| line.rsplitn(5, '\t').last().unwrap().to_owned() + "\t\t\t\t";
    let lines = lines.lines().zip(icmp);
    lines.map(|(line, ours)| if ours.ends_with("\t\t\t\t") { blank(line) } else { line.to_owned() }).collect()
}

fn agrees(name: &str, format: Format, cut: u64) {
    let mut ours = AsTshark::default();
    let summary = read(fs::File::open(data(name)).unwrap(), &Options::default(), &mut ours).unwrap();
    assert_eq!((summary.format, summary.damaged, summary.cut), (format, 0, cut), "{name}");
    assert_eq!(summary.bytes, fs::metadata(data(name)).unwrap().len());
    let theirs = by_tshark(name, &ours.0);
    assert_eq!(ours.0, theirs, "{name}");
    assert_eq!(
        summary.packets as usize,
        fs::read_to_string(data(&format!("{name}.tshark"))).unwrap().lines().count()
    );
}

#[test]
fn ethernet_is_read_as_tshark_reads_it() {
    agrees("web.pcap", Format::Pcap, 0);
}

#[test]
fn nanoseconds_are_read_as_tshark_reads_them() {
    agrees("dns-nanoseconds.pcap", Format::Pcap, 0);
}

#[test]
fn packets_that_were_cut_keep_their_length() {
    agrees("cut.pcap", Format::Pcap, 21);
}

#[test]
fn both_cooked_headers_are_read_as_tshark_reads_them() {
    agrees("cooked1.pcap", Format::Pcap, 0);
    agrees("cooked2.pcap", Format::Pcap, 0);
}

#[test]
fn packets_without_a_link_header_are_read_as_tshark_reads_them() {
    agrees("raw.pcap", Format::Pcap, 0);
}

#[test]
fn several_interfaces_of_a_pcapng_are_read_as_tshark_reads_them() {
    agrees("sql.pcapng", Format::Pcapng, 0);
}

#[test]
fn cooked_headers_tell_what_the_host_sent() {
    for name in ["cooked1.pcap", "cooked2.pcap"] {
        let (seen, _) = seen::seen(&fs::read(data(name)).unwrap());
        let sent = seen.packets.iter().filter(|packet| packet.ends_with(" sent")).count();
        let received = seen.packets.iter().filter(|packet| packet.ends_with(" received")).count();
        // A gateway sends on everything that it receives; the rest went to groups.
        assert!(
            sent > 20 && sent.abs_diff(received) <= 1 && seen.packets.len() - sent - received <= 2,
            "{sent} {received}"
        );
    }
}

/// The same capture as a machine of the other byte order, or of another kind, would have written it.
fn rewritten(name: &str, change: impl Fn(&mut Vec<u8>, [u32; 4], &[u8])) -> Vec<u8> {
    let bytes = fs::read(data(name)).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut out = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let kept = word(at + 8) as usize;
        change(&mut out, [0, 4, 8, 12].map(|field| word(at + field)), &bytes[at + 16..at + 16 + kept]);
        at += 16 + kept;
    }
    out
}

fn swapped(name: &str) -> Vec<u8> {
    let bytes = fs::read(data(name)).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut out = word(0).to_be_bytes().to_vec();
    out.extend([0, 2, 0, 4]);
    [8, 12, 16, 20].into_iter().for_each(|at| out.extend(word(at).to_be_bytes()));
    out.extend(rewritten(name, |out, head, packet| {
        head.into_iter().for_each(|word| out.extend(word.to_be_bytes()));
        out.extend(packet);
    }));
    out
}

#[test]
fn the_other_byte_order_says_the_same() {
    for name in ["web.pcap", "dns-nanoseconds.pcap", "cut.pcap", "cooked2.pcap", "raw.pcap"] {
        let (expected, _) = seen::seen(&fs::read(data(name)).unwrap());
        let (got, summary) = seen::seen(&swapped(name));
        assert_eq!((got.packets, summary.damaged), (expected.packets, 0), "{name}");
    }
}

#[test]
fn modified_pcap_says_the_same() {
    let mut file = fs::read(data("web.pcap")).unwrap()[..24].to_vec();
    file[..4].copy_from_slice(&[0x34, 0xcd, 0xb2, 0xa1]);
    file.extend(rewritten("web.pcap", |out, head, packet| {
        head.into_iter().for_each(|word| out.extend(word.to_le_bytes()));
        // Interface, protocol, packet type.
        out.extend([1, 0, 0, 0, 8, 0, 0, 0]);
        out.extend(packet);
    }));
    let (expected, _) = seen::seen(&fs::read(data("web.pcap")).unwrap());
    assert_eq!(seen::seen(&file).0.packets, expected.packets);
}

/// The tunnel's packets behind another link header.
fn behind(number: u32, header: &[u8]) -> Vec<u8> {
    let mut file = fs::read(data("raw.pcap")).unwrap()[..20].to_vec();
    file.extend(number.to_le_bytes());
    file.extend(rewritten("raw.pcap", |out, [seconds, part, kept, length], packet| {
        let more = header.len() as u32;
        [seconds, part, kept + more, length + more]
            .into_iter()
            .for_each(|word| out.extend(word.to_le_bytes()));
        out.extend(header);
        out.extend(packet);
    }));
    file
}

#[test]
fn loopback_and_every_number_for_raw_ip_are_known() {
    let (raw, _) = seen::seen(&fs::read(data("raw.pcap")).unwrap());
    for number in [12, 14, 101, 228, 0xf000_0065] {
        assert_eq!(seen::seen(&behind(number, &[])).0.packets, raw.packets, "{number}");
    }
    for (number, header) in [(0, [2, 0, 0, 0]), (0, [0, 0, 0, 2]), (108, [0, 0, 0, 2])] {
        let (seen, summary) = seen::seen(&behind(number, &header));
        assert_eq!((summary.packets, summary.damaged), (12, 0));
        assert!(seen.packets.iter().all(|packet| packet.contains("Loopback") && packet.ends_with(" 0800@4")));
    }
}

#[test]
fn lengths_that_were_never_counted_are_no_damage() {
    let mut file = fs::read(data("raw.pcap")).unwrap()[..24].to_vec();
    file.extend(rewritten("raw.pcap", |out, [seconds, part, kept, _], packet| {
        [seconds, part, kept, 0].into_iter().for_each(|word| out.extend(word.to_le_bytes()));
        out.extend(packet);
    }));
    let (seen, summary) = seen::seen(&file);
    assert_eq!((summary.damaged, summary.cut), (0, 0));
    assert_eq!(seen.packets, seen::seen(&fs::read(data("raw.pcap")).unwrap()).0.packets);
}

#[test]
fn an_unknown_link_type_is_one_damage() {
    let (seen, summary) = seen::seen(&behind(127, &[]));
    assert_eq!((summary.packets, summary.skipped, summary.damaged), (0, 12, 1));
    assert_eq!(seen.damages, ["0: packets of link type `127` aren't read"]);
}

#[test]
fn what_needs_no_copy_isnt_one() {
    // The bytes of a packet are those in the file, also where they lie across the reader's chunks.
    struct Compare<'a>(&'a [u8], usize);
    impl Sink for Compare<'_> {
        fn take(&mut self, item: Item<'_>) {
            let Item::Packet(packet) = item else { panic!("{item:?}") };
            assert_eq!(packet.link, Link::Ethernet);
            let at = self.1 + 16;
            assert_eq!(packet.bytes, &self.0[at..at + packet.bytes.len()]);
            self.1 = at + packet.bytes.len();
        }
    }
    let one = fs::read(data("web.pcap")).unwrap();
    let mut file = one.clone();
    (0..400).for_each(|_| file.extend(&one[24..]));
    let mut compare = Compare(&file, 24);
    let summary = read(&file[..], &Options::default(), &mut compare).unwrap();
    assert_eq!((compare.1, summary.packets), (file.len(), 401 * 30));
}

//! Tables of connection tracking and of sockets, as real programs left them behind.

mod seen;

use enforcer_flows::{Format, Side};
use seen::{Seen, seen};
use std::fs;
use std::path::Path;

fn table(name: &str) -> (Seen, enforcer_flows::Summary) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    seen(&fs::read(path).unwrap())
}

/// Ports that a kernel picked, as `*`; counters as they are.
fn shapes(flows: &[String]) -> Vec<String> {
    let word = |word: &str| match word.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok_and(|port| port > 30_000) => format!("{host}:*"),
        _ => word.to_owned(),
    };
    flows.iter().map(|flow| flow.split(' ').map(word).collect::<Vec<_>>().join(" ")).collect()
}

/// What the gateway of `record.sh` tracked, in no order.
const TRACKED: [&str; 26] = [
    // curl to the server's address, and through the translated one: seen by the client, and by the server.
    "6 10.77.1.2:* > 10.77.2.2:80 opens passed 6p 393b",
    "6 10.77.2.2:80 > 10.77.1.2:* answers passed 4p 469b",
    "6 10.77.1.2:* > 10.77.9.9:8080 opens passed at-source 6p 398b",
    "6 10.77.9.9:8080 > 10.77.1.2:* answers passed at-destination 4p 469b",
    "6 10.77.1.2:* > 10.77.2.2:80 opens passed at-destination 6p 398b",
    "6 10.77.2.2:80 > 10.77.1.2:* answers passed at-source 4p 469b",
    "6 fd77:1::2:* > fd77:2::2:80 opens passed 6p 522b",
    "6 fd77:2::2:80 > fd77:1::2:* answers passed 4p 604b",
    // psql, whose address the gateway replaces by its own.
    "6 10.77.1.2:* > 10.77.2.2:5432 opens passed at-source 6p 415b",
    "6 10.77.2.2:5432 > 10.77.1.2:* answers passed at-destination 5p 683b",
    "6 10.77.2.1:* > 10.77.2.2:5432 opens passed at-destination 6p 415b",
    "6 10.77.2.2:5432 > 10.77.2.1:* answers passed at-source 5p 683b",
    // dig: A, AAAA, over TCP, over IPv6, and to a port where nobody is.
    "17 10.77.1.2:* > 10.77.2.2:53 opens passed 1p 83b",
    "17 10.77.2.2:53 > 10.77.1.2:* answers passed 1p 87b",
    "17 10.77.1.2:* > 10.77.2.2:53 opens passed 1p 83b",
    "17 10.77.2.2:53 > 10.77.1.2:* answers passed 1p 99b",
    "6 10.77.1.2:* > 10.77.2.2:53 opens passed 6p 377b",
    "6 10.77.2.2:53 > 10.77.1.2:* answers passed 4p 277b",
    "17 fd77:1::2:* > fd77:2::2:53 opens passed 1p 106b",
    "17 fd77:2::2:53 > fd77:1::2:* answers passed 1p 94b",
    "17 10.77.1.2:* > 10.77.2.2:54 opens passed 1p 81b",
    // ping, and ping to nobody.
    "1 10.77.1.2 > 10.77.2.2 icmp 8/0 opens passed 2p 168b",
    "1 10.77.2.2 > 10.77.1.2 icmp 0/0 answers passed 2p 168b",
    "58 fd77:1::2 > fd77:2::2 icmp 128/0 opens passed 1p 104b",
    "58 fd77:2::2 > fd77:1::2 icmp 129/0 answers passed 1p 104b",
    "1 10.77.1.2 > 10.77.2.99 icmp 8/0 opens passed 1p 84b",
];

#[test]
fn every_way_to_list_connections_says_the_same() {
    let mut expected = TRACKED.map(str::to_owned).to_vec();
    expected.sort();
    for name in ["conntrack.txt", "conntrack-extended.txt", "nf_conntrack.txt"] {
        let (seen, summary) = table(name);
        assert_eq!((summary.format, summary.damaged), (Format::Conntrack, 0), "{name}");
        let mut shapes = shapes(&seen.flows);
        shapes.sort();
        assert_eq!(shapes, expected, "{name}");
    }
}

#[test]
fn events_tell_when_connections_began_and_what_they_were_in_the_end() {
    let (seen, summary) = table("conntrack-events.txt");
    assert_eq!((summary.format, summary.damaged), (Format::Conntrack, 0));
    assert!(summary.skipped > 20, "updates say nothing new");
    assert!(seen.whole.iter().all(|flow| flow.start.is_some_and(|time| time > 1_700_000_000_000_000_000)));
    let ended: Vec<_> = seen.whole.iter().filter(|flow| flow.packets > 0 && flow.seen.is_none()).collect();
    let counts: Vec<u64> = ended.iter().map(|flow| flow.packets).collect();
    // One was refused, and is gone at once; two were deleted.
    assert_eq!(counts, [1, 6, 4, 6, 4], "{ended:?}");
    let began = seen.whole.iter().filter(|flow| flow.packets == 0);
    // The two that are translated are seen in two ways.
    assert_eq!(began.filter(|flow| flow.seen != Some(Side::Destination)).count(), 14);
}

#[test]
fn entries_are_read_whatever_stands_around_the_tuples() {
    let lines = "\
ipv4     2 unknown  47 599 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x1 src=10.0.0.2 dst=10.0.0.1 srckey=0x1 dstkey=0x0 [ASSURED] mark=7 secctx=null zone=3 delta-time=9 use=2
sctp     132 9 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 zone-orig=4 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 zone-reply=5 [OFFLOAD] mark=0 use=1
[DESTROY] tcp      6 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 [ASSURED]
tcp      6 9 CLOSE src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 [start=Fri Oct  2 12:00:00 2026] mark=0 use=1
";
    let (seen, summary) = seen(lines.as_bytes());
    assert_eq!(summary.damaged, 0, "{:?}", seen.damages);
    let opened: Vec<&String> = seen.flows.iter().step_by(2).collect();
    assert_eq!(
        opened,
        [
            "47 10.0.0.1 > 10.0.0.2 opens passed",
            "132 10.0.0.1:1 > 10.0.0.2:2 opens passed",
            "6 10.0.0.1:1 > 10.0.0.2:2 opens passed",
            "6 10.0.0.1:1 > 10.0.0.2:2 opens passed",
        ]
    );
}

#[test]
fn entries_that_make_no_sense_are_damage() {
    let lines = "\
tcp      6 9 CLOSE src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0 use=1
tcp      6 9 CLOSE src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2
tcp      6 9 CLOSE src=10.0.0.1 dst=10.0.0.2 sport=1 dport=70000 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1
tcp      six 9 src=10.0.0.1 dst=10.0.0.2 src=10.0.0.2 dst=10.0.0.1
tcp      6 9 src=10.0.0.1 dst=::1 src=10.0.0.2 dst=10.0.0.1
src=10.0.0.1 dst=10.0.0.2 src=10.0.0.2 dst=10.0.0.1
";
    let (seen, summary) = seen(lines.as_bytes());
    assert_eq!((summary.flows, summary.damaged), (2, 5));
    assert!(
        seen.damages[0].starts_with("2: not two addresses of a source are in the entry `tcp"),
        "{:?}",
        seen.damages
    );
}

#[test]
fn listening_sockets_tell_who_opened_a_connection() {
    let (seen, summary) = table("ss.txt");
    assert_eq!((summary.format, summary.damaged), (Format::Ss, 0));
    assert_eq!(
        shapes(&seen.flows),
        [
            "17 10.77.2.2:9999 > 10.77.1.2:* passed",
            "6 127.0.0.1:* > 127.0.0.1:80 opens passed",
            "6 127.0.0.1:5432 > 127.0.0.1:* answers passed",
            "6 127.0.0.1:* > 127.0.0.1:5432 opens passed",
            "6 10.77.2.2:5432 > 10.77.2.1:* answers passed",
        ]
    );
}

#[test]
fn without_listening_sockets_only_ports_of_the_system_tell() {
    let (seen, summary) = table("ss-established.txt");
    assert_eq!((summary.format, summary.damaged), (Format::Ss, 0));
    assert_eq!(
        shapes(&seen.flows),
        [
            "6 127.0.0.1:5432 > 127.0.0.1:* passed",
            "6 127.0.0.1:* > 127.0.0.1:5432 passed",
            "6 10.77.2.2:5432 > 10.77.2.1:* passed",
        ]
    );
    let (seen, summary) = table("ss-client.txt");
    assert_eq!((summary.flows, summary.damaged), (19, 0));
    let system = |flow: &&String| flow.contains(":80 ") || flow.contains(":53 ");
    assert!(seen.flows.iter().filter(system).all(|flow| flow.contains(" opens ")), "{:?}", seen.flows);
    assert!(seen.flows.iter().filter(|flow| !system(flow)).all(|flow| !flow.contains("opens")));
}

#[test]
fn sockets_are_read_whatever_columns_there_are() {
    let lines = "\
Recv-Q Send-Q Local Address:Port Peer Address:Port Process
0      0      [::ffff:10.0.0.1]:443 [::ffff:10.0.0.9]:50000
0      0      [fe80::1%eth0]:50001 [fe80::2]%eth0:22 users:((\"a b\",pid=1,fd=2))
SYN-SENT 0 1 10.0.0.1:9000 10.0.0.3:9001 timer:(on,1sec,0)
udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*
udp UNCONN 0 0 *:68 *:*
u_str ESTAB 0 0 * 17 * 18
raw UNCONN 0 0 0.0.0.0:255 0.0.0.0:*
sctp ESTAB 0 0 10.0.0.1:36412 10.0.0.4:36412
\t cubic wscale:7,7 rto:204
tcp ESTAB 0 0 10.0.0.1:ssh 10.0.0.3:50000
tcp ESTAB 0 0
";
    let (seen, summary) = seen(lines.as_bytes());
    assert_eq!(summary.skipped, 4);
    assert_eq!(
        seen.flows,
        [
            "6 10.0.0.1:443 > 10.0.0.9:50000 answers passed",
            "6 fe80::1:50001 > fe80::2:22 opens passed",
            "6 10.0.0.1:9000 > 10.0.0.3:9001 opens",
            "132 10.0.0.1:36412 > 10.0.0.4:36412 passed",
        ]
    );
    assert_eq!(seen.damages.len(), 2);
    assert!(
        seen.damages[0].starts_with("11: a port isn't a number (`ss -n` leaves them numbers)"),
        "{:?}",
        seen.damages
    );
}

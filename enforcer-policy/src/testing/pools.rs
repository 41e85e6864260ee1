//! The few values that random documents are made of. Few, so that they meet.

use ipnet::IpNet;
use jiff::Timestamp;
use std::fmt::Debug;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;

/// The instant around which random expiries lie: 2026-01-01T00:00:00Z.
pub const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// Seconds from [`NOW`] at which policies expire.
pub(super) const EXPIRIES: [i64; 7] = [-3600, -1, 0, 1, 60, 3600, 3601];

pub(super) const KEYS: [&str; 3] = ["app", "env", "role"];
/// A key that workloads have for a time only.
pub(super) const LEASED: &str = "posture.ok";
pub(super) const VALUES: [&str; 3] = ["a", "b", "c"];

/// Addresses of workloads, of the host and of strangers.
const ADDRESSES: [&str; 22] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.0.0.7",
    "10.0.0.8",
    "10.0.0.127",
    "10.0.0.128",
    "10.0.1.1",
    "10.0.255.255",
    "172.16.0.1",
    "192.0.2.1",
    "192.0.2.128",
    "203.0.113.7",
    "fd00::1",
    "fd00::2",
    "fd00::3",
    "fd00::4",
    "fd00::ffff",
    "fd00:0:0:1::1",
    "2001:db8::1",
    "2001:db8:ffff::1",
];

/// Blocks of groups and selectors; they nest, touch and hold the addresses above.
const BLOCKS: [&str; 30] = [
    "10.0.0.0/24",
    "10.0.0.0/29",
    "10.0.0.0/30",
    "10.0.0.4/30",
    "10.0.0.2/31",
    "10.0.0.1/32",
    "10.0.0.4/32",
    "10.0.0.0/25",
    "10.0.0.128/25",
    "10.0.1.0/24",
    "10.0.0.0/16",
    "10.0.0.0/8",
    "192.0.2.0/24",
    "192.0.2.128/25",
    "203.0.113.0/24",
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "192.0.0.0/2",
    "fd00::/64",
    "fd00::/126",
    "fd00::2/127",
    "fd00::1/128",
    "fd00:0:0:1::/64",
    "fd00::/48",
    "fd00::/8",
    "2001:db8::/32",
    "2001:db8:8000::/33",
    "::/0",
    "8000::/1",
];

/// Blocks of selectors alone: in multicast space and around it.
const MULTICAST_BLOCKS: [&str; 8] = [
    "224.0.0.0/4",
    "224.0.0.0/24",
    "224.0.0.251/32",
    "224.0.0.0/3",
    "255.255.255.255/32",
    "ff00::/8",
    "ff02::/16",
    "ff02::fb/128",
];

/// Multicast and broadcast destinations.
const GROUPS: [&str; 7] =
    ["224.0.0.1", "224.0.0.251", "239.255.255.255", "255.255.255.255", "ff02::1", "ff02::fb", "ff0e::1"];

/// Sources that can't be on a wire.
const MARTIANS: [&str; 8] =
    ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1", "::ffff:10.0.0.1"];

/// Ports that ranges begin and end at.
pub(super) const PORTS: [u16; 16] =
    [0, 1, 2, 79, 80, 81, 443, 1023, 1024, 4789, 8000, 8001, 8080, 8100, 65534, 65535];

/// Protocols by number: tunnels, and some that are none. No IPv6 extension header is among them.
pub(super) const PROTOCOLS: [u8; 14] = [6, 17, 1, 58, 132, 47, 4, 41, 50, 2, 94, 97, 137, 255];

/// Types of ICMP that rules name and packets carry (no redirects, no router discovery).
pub(super) const ICMP_TYPES: [u8; 9] = [8, 0, 3, 11, 12, 13, 14, 4, 17];
/// Types of ICMPv6, without redirects and neighbour discovery.
pub(super) const ICMPV6_TYPES: [u8; 6] = [128, 129, 1, 2, 3, 4];

fn parse_all<T: FromStr<Err: Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().expect("pools are well-formed")).collect()
}

static PARSED_ADDRESSES: LazyLock<Vec<IpAddr>> = LazyLock::new(|| parse_all(&ADDRESSES));
static PARSED_BLOCKS: LazyLock<Vec<IpNet>> = LazyLock::new(|| parse_all(&BLOCKS));
static PARSED_MULTICAST_BLOCKS: LazyLock<Vec<IpNet>> = LazyLock::new(|| parse_all(&MULTICAST_BLOCKS));
static PARSED_GROUPS: LazyLock<Vec<IpAddr>> = LazyLock::new(|| parse_all(&GROUPS));
static PARSED_MARTIANS: LazyLock<Vec<IpAddr>> = LazyLock::new(|| parse_all(&MARTIANS));

pub(super) fn addresses() -> Vec<IpAddr> {
    PARSED_ADDRESSES.clone()
}

pub(super) fn group_blocks() -> Vec<IpNet> {
    PARSED_BLOCKS.clone()
}

pub(super) fn selector_blocks() -> Vec<IpNet> {
    [PARSED_BLOCKS.as_slice(), PARSED_MULTICAST_BLOCKS.as_slice()].concat()
}

pub(super) fn multicast_groups() -> Vec<IpAddr> {
    PARSED_GROUPS.clone()
}

pub(super) fn martians() -> Vec<IpAddr> {
    PARSED_MARTIANS.clone()
}

/// Where generated things stand in no file.
pub(super) fn origin() -> crate::model::Origin {
    crate::model::Origin { file: "random.yaml".into(), line: 1, column: 1 }
}

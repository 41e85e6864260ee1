//! The fields of flow logs, versions 2 to 10, and which of them a log has in which place.

use crate::error::ReadError;
use crate::text::words;

/// A field that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Interface,
    Source,
    Destination,
    SourcePort,
    DestinationPort,
    Protocol,
    Packets,
    Bytes,
    Start,
    End,
    Action,
    Status,
    Flags,
    PacketSource,
    PacketDestination,
    Direction,
}

/// How many those are.
pub(super) const FIELDS: usize = 16;

/// Version 2, in the order of records that have no header line.
const DEFAULT: &[u8] = b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

/// Every field, by version. Those without a meaning here are passed over.
const KNOWN: [(&str, Option<Field>); 60] = {
    use Field::{
        Action, Bytes, Destination, DestinationPort, Direction, End, Flags, Interface, PacketDestination,
        PacketSource, Packets, Protocol, Source, SourcePort, Start, Status,
    };
    [
        ("version", None),
        ("account-id", None),
        ("interface-id", Some(Interface)),
        ("srcaddr", Some(Source)),
        ("dstaddr", Some(Destination)),
        ("srcport", Some(SourcePort)),
        ("dstport", Some(DestinationPort)),
        ("protocol", Some(Protocol)),
        ("packets", Some(Packets)),
        ("bytes", Some(Bytes)),
        ("start", Some(Start)),
        ("end", Some(End)),
        ("action", Some(Action)),
        ("log-status", Some(Status)),
        // Version 3.
        ("vpc-id", None),
        ("subnet-id", None),
        ("instance-id", None),
        ("tcp-flags", Some(Flags)),
        ("type", None),
        ("pkt-srcaddr", Some(PacketSource)),
        ("pkt-dstaddr", Some(PacketDestination)),
        // Version 4.
        ("region", None),
        ("az-id", None),
        ("sublocation-type", None),
        ("sublocation-id", None),
        // Version 5.
        ("pkt-src-aws-service", None),
        ("pkt-dst-aws-service", None),
        ("flow-direction", Some(Direction)),
        ("traffic-path", None),
        // Version 6: transit gateways.
        ("resource-type", None),
        ("tgw-id", None),
        ("tgw-attachment-id", Some(Interface)),
        ("tgw-src-vpc-account-id", None),
        ("tgw-dst-vpc-account-id", None),
        ("tgw-src-vpc-id", None),
        ("tgw-dst-vpc-id", None),
        ("tgw-src-subnet-id", None),
        ("tgw-dst-subnet-id", None),
        ("tgw-src-eni", None),
        ("tgw-dst-eni", None),
        ("tgw-src-az-id", None),
        ("tgw-dst-az-id", None),
        ("tgw-pair-attachment-id", None),
        ("packets-lost-no-route", None),
        ("packets-lost-blackhole", None),
        ("packets-lost-mtu-exceeded", None),
        ("packets-lost-ttl-expired", None),
        // Version 7.
        ("ecs-cluster-arn", None),
        ("ecs-cluster-name", None),
        ("ecs-container-instance-arn", None),
        ("ecs-container-instance-id", None),
        ("ecs-container-id", None),
        ("ecs-second-container-id", None),
        ("ecs-service-name", None),
        ("ecs-task-definition-arn", None),
        ("ecs-task-arn", None),
        ("ecs-task-id", None),
        // Version 8.
        ("reject-reason", None),
        // Later ones.
        ("resource-id", None),
        ("encryption-status", None),
    ]
};

/// Which field stands where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) columns: Vec<Option<Field>>,
    /// Whether ACK shows in `tcp-flags` although no SYN came with it, as in logs of transit gateways.
    pub(super) acks: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self::named(DEFAULT)
    }
}

impl Layout {
    /// Fields by name, as in a header line or as in `--log-format`.
    pub(super) fn named(line: &[u8]) -> Self {
        let columns = names(line).map(|name| known(name).flatten()).collect();
        Self { columns, acks: names(line).any(|name| name.starts_with(b"tgw-")) }
    }

    /// Whether the fields tell who talked to whom.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        let has = |field| self.columns.contains(&Some(field));
        let missing = if !has(Field::Source) && !has(Field::PacketSource) {
            "srcaddr"
        } else if !has(Field::Destination) && !has(Field::PacketDestination) {
            "dstaddr"
        } else if !has(Field::Protocol) {
            "protocol"
        } else if !has(Field::SourcePort) {
            "srcport"
        } else if !has(Field::DestinationPort) {
            "dstport"
        } else {
            return Ok(());
        };
        Err(ReadError::Fields { missing })
    }

    /// Names of a header line that are no field's.
    pub(super) fn unknown<'l>(&self, line: &'l [u8]) -> impl Iterator<Item = &'l [u8]> {
        names(line).filter(|name| known(name).is_none())
    }
}

/// Whether a line is a header: it begins with a field's name and has more of them.
pub(super) fn is_header(line: &[u8]) -> bool {
    line.first().is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'$')
        && names(line).next().is_some_and(|name| known(name).is_some())
        && names(line).filter(|name| known(name).is_some()).count() > 2
}

fn known(name: &[u8]) -> Option<Option<Field>> {
    KNOWN.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, field)| *field)
}

fn names(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    words(line).map(|word| word.strip_prefix(b"${").and_then(|word| word.strip_suffix(b"}")).unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_both_notations() {
        let layout = Layout::named(b"${srcaddr} dstaddr ${tcp-flags} ${nonsense}");
        assert_eq!(layout.columns, [Some(Field::Source), Some(Field::Destination), Some(Field::Flags), None]);
        assert_eq!(layout.unknown(b"srcaddr nonsense").collect::<Vec<_>>(), [b"nonsense"]);
        assert!(matches!(layout.check(), Err(ReadError::Fields { missing: "protocol" })));
        Layout::default().check().unwrap();
        assert!(!Layout::default().acks);
        assert!(Layout::named(b"tgw-id srcaddr").acks);
    }

    #[test]
    fn no_field_is_named_twice() {
        for (index, (name, _)) in KNOWN.iter().enumerate() {
            assert!(!KNOWN[..index].iter().any(|(other, _)| other == name), "{name}");
        }
    }

    #[test]
    fn records_are_no_headers() {
        assert!(is_header(DEFAULT));
        assert!(!is_header(b"eni-1 10.0.0.1 10.0.0.2 action bytes packets"));
        assert!(!is_header(b"start of a letter"));
        assert!(!is_header(b"2 123456789010 eni-1 - - - - - - - 1 2 - NODATA"));
        assert!(!is_header(b""));
    }
}

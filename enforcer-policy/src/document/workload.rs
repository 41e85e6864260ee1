//! `Workload`, `AddressGroup` and `Segment`.

use super::reader::{Mention, Reader, Side};
use super::{address, labels, selector, threshold, workload_match};
use crate::model::{
    AddressGroup, Entity, OnDeny, OnStaleIdentity, Origin, Segment, SegmentMode, Selector, Workload,
    WorkloadMatch,
};
use crate::yaml::Node;
use std::net::IpAddr;

const NEEDS_LABEL: &str = "an identity has at least one label, such as `labels: {app: ledger}`";

/// `mode` of a Segment, and `defaultMode`.
pub(super) const MODES: [(&str, SegmentMode); 3] = {
    let [off, audit, enforce] = SegmentMode::ALL;
    [(off.word(), off), (audit.word(), audit), (enforce.word(), enforce)]
};

pub(super) fn workload(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    name: String,
    origin: Origin,
) -> Option<Workload> {
    let fields = reader.fields(node, "a Workload's `spec`", &["labels", "match", "addresses"])?;
    let labels = reader.required(&fields, "labels", NEEDS_LABEL);
    let labels = labels.and_then(|node| labels::identity(reader, node, NEEDS_LABEL));
    let matches = match fields.get("match") {
        Some(node) => workload_match::matches(reader, node),
        None => Some(Vec::new()),
    };
    let by_interface = matches
        .as_ref()
        .is_some_and(|matches| matches.iter().any(|entry| matches!(entry, WorkloadMatch::Interface(_))));
    let addresses = match fields.get("addresses") {
        Some(node) => addresses(reader, node, by_interface),
        None => Some(Vec::new()),
    };
    if fields.get("match").is_none() && fields.get("addresses").is_none() {
        reader.error_help(
            fields.span,
            "a Workload with neither `match` nor `addresses` is nowhere",
            "say how it is found on a host (`match`), or where it is reached (`addresses`)",
        );
    }
    if by_interface && fields.get("addresses").is_none() {
        let span = fields.key_span("match").unwrap_or(fields.span);
        reader.warn_help(
            span,
            "matched by interface and without `addresses`: everything it sends is denied as `spoofed-source`",
            "list what it may send from: `addresses: [10.20.0.7]`",
        );
    }
    Some(Workload { name, origin, labels: labels?, matches: matches?, addresses: addresses?, lease: None })
}

fn addresses(reader: &mut Reader<'_>, node: &Node<'_>, by_interface: bool) -> Option<Vec<IpAddr>> {
    let items = reader.list(node, "addresses", "take the field away, or name an address")?;
    let mut addresses = Vec::with_capacity(items.len());
    for item in items {
        let Some(address) = address::address(reader, item, "addresses") else { continue };
        let wrong = match address {
            IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
            _ if address.is_multicast() => Some("a multicast address"),
            _ if address.is_unspecified() => Some("the unspecified address"),
            _ if address.is_loopback() && by_interface => {
                Some("a loopback address, which never crosses a device")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            let message = format!("a workload cannot send from `{address}`: it is {wrong}");
            reader.error_help(item.span, message, "name the addresses of its own device");
            continue;
        }
        reader.mention(Mention::Address(addresses.len()), item.span);
        addresses.push(address);
    }
    (addresses.len() == items.len()).then_some(addresses)
}

pub(super) fn address_group(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    name: String,
    origin: Origin,
) -> Option<AddressGroup> {
    let fields = reader.fields(node, "an AddressGroup's `spec`", &["labels", "cidrs"])?;
    let labels = reader.required(&fields, "labels", NEEDS_LABEL);
    let labels = labels.and_then(|node| labels::identity(reader, node, NEEDS_LABEL));
    let cidrs = reader.required(&fields, "cidrs", "for example `cidrs: [192.0.2.0/24]`");
    let items =
        cidrs.and_then(|node| reader.list(node, "cidrs", "name at least one block, such as `192.0.2.0/24`"));
    let mut cidrs = Vec::new();
    for item in items.unwrap_or_default() {
        if let Some(block) = address::cidr(reader, item, "cidrs") {
            reader.mention(Mention::Prefix(cidrs.len()), item.span);
            cidrs.push(block);
        }
    }
    let whole = items.is_some_and(|items| items.len() == cidrs.len());
    Some(AddressGroup { name, origin, labels: labels?, cidrs: whole.then_some(cidrs)? })
}

pub(super) fn segment(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    name: String,
    origin: Origin,
) -> Option<Segment> {
    const FIELDS: [&str; 5] = ["select", "mode", "onDeny", "onStaleIdentity", "quarantine"];
    let fields = reader.fields(node, "a Segment's `spec`", &FIELDS)?;
    let node = reader.required(&fields, "select", "for example `select: [{labels: {env: prod}}]`");
    let select = node.and_then(|node| selector::selectors(reader, node, Side::Select, 0));
    let mode = match fields.get("mode") {
        Some(node) => reader.word(node, "mode", &MODES),
        None => Some(SegmentMode::default()),
    };
    let on_deny = match fields.get("onDeny") {
        Some(node) => reader.word(node, "onDeny", &[("drop", OnDeny::Drop), ("reset", OnDeny::Reset)]),
        None => Some(OnDeny::default()),
    };
    let quarantine = match fields.get("quarantine") {
        Some(node) => threshold::threshold(reader, node).map(Some),
        None => Some(None),
    };
    let on_stale_identity = match fields.get("onStaleIdentity") {
        Some(node) => {
            let words = OnStaleIdentity::ALL.map(|one| (one.word(), one));
            reader.word(node, "onStaleIdentity", &words)
        }
        None => Some(OnStaleIdentity::default()),
    };
    for selector in select.iter().flatten() {
        if let (Selector::Entity(Entity::World), Some(node)) = (selector, node) {
            reader.warn_help(
                node.span,
                "a Segment selects workloads and the host: `world` is neither",
                "select by `labels`, or with `entity: workloads` or `entity: host`",
            );
        }
    }
    Some(Segment {
        name,
        origin,
        select: select?,
        mode: mode?,
        on_deny: on_deny?,
        on_stale_identity: on_stale_identity?,
        quarantine: quarantine?,
    })
}

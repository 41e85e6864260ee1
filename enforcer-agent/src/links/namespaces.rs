//! Other network namespaces, seen from this one: which devices here lead into them, and which addresses they have.
//!
//! Which devices lead into a namespace is asked of this one alone: what stands inside is for whoever runs there to choose.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::ask::Asker;
use super::connections::{Connection, connections};
use super::message::report;
use super::state::Report;

/// Names of the veth and netkit devices here whose other end is in that namespace.
pub fn devices_into(namespace: &File) -> io::Result<Vec<String>> {
    let mut asker = Asker::open()?;
    let Some(number) = number(&mut asker, namespace)? else { return Ok(Vec::new()) };
    let mut devices = Vec::new();
    asker.list(RouteNetlinkMessage::GetLink(LinkMessage::default()), |_, bytes| {
        if let Some(RouteNetlinkMessage::NewLink(link)) = parsed(bytes)?
            && link.attributes.contains(&LinkAttribute::LinkNetNsId(number))
            && let Some(Report::Link(link)) = report(&RouteNetlinkMessage::NewLink(link))
            && link.leads_abroad()
        {
            devices.push(link.name);
        }
        Ok(())
    })?;
    devices.sort_unstable();
    Ok(devices)
}

/// The number by which this namespace knows that one; none where no device here leads there.
fn number(asker: &mut Asker, namespace: &File) -> io::Result<Option<i32>> {
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Fd(namespace.as_raw_fd().cast_unsigned()));
    let answer = asker.ask(RouteNetlinkMessage::GetNsId(question))?;
    let Some(RouteNetlinkMessage::NewNsId(answer)) = parsed(&answer)? else { return Ok(None) };
    let number = answer.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(number) => Some(*number),
        _ => None,
    });
    Ok(number.filter(|number| *number >= 0))
}

/// Every address in that namespace by which others can reach it.
pub fn addresses_in(namespace: &File) -> io::Result<Vec<IpAddr>> {
    inside(namespace, || {
        let mut asker = Asker::open()?;
        let mut addresses = Vec::new();
        asker.list(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |_, bytes| {
            if let Some(message) = parsed(bytes)?
                && let Some(Report::Address((_, address))) = report(&message)
                && is_reachable(address)
            {
                addresses.push(address);
            }
            Ok(())
        })?;
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    })
}

/// The TCP connections of the namespaces that these devices lead into, with the device. What nobody runs in is passed over.
pub fn connections_behind(devices: &BTreeSet<u32>) -> io::Result<Vec<(u32, Connection)>> {
    let mut asker = Asker::open()?;
    let mut leading: HashMap<i32, Vec<u32>> = HashMap::new();
    asker.list(RouteNetlinkMessage::GetLink(LinkMessage::default()), |_, bytes| {
        if let Some(RouteNetlinkMessage::NewLink(link)) = parsed(bytes)?
            && devices.contains(&link.header.index)
            && let Some(number) = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::LinkNetNsId(number) => Some(*number),
                _ => None,
            })
        {
            leading.entry(number).or_default().push(link.header.index);
        }
        Ok(())
    })?;
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for process in fs::read_dir("/proc")?.flatten() {
        if leading.is_empty() {
            break;
        }
        // One that isn't a process, or has ended meanwhile, has none.
        let Ok(namespace) = File::open(process.path().join("ns/net")) else { continue };
        if !seen.insert(namespace.metadata()?.ino()) {
            continue;
        }
        let number = number(&mut asker, &namespace)?;
        let Some(devices) = number.and_then(|number| leading.remove(&number)) else { continue };
        let open = inside(&namespace, connections)?.unwrap_or_default();
        found.extend(devices.iter().flat_map(|device| open.iter().map(|one| (*device, *one))));
    }
    Ok(found)
}

/// Does something in that namespace.
fn inside<T: Send>(namespace: &File, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    // A thread that went there doesn't come back.
    std::thread::scope(|scope| {
        let inside = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        };
        scope
            .spawn(inside)
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("looking into a namespace failed")))
    })
}

fn parsed(bytes: &[u8]) -> io::Result<Option<RouteNetlinkMessage>> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(io::Error::other)?;
    Ok(match message.payload {
        NetlinkPayload::InnerMessage(message) => Some(message),
        _ => None,
    })
}

/// Whether an address is one among the host's and its neighbours' as well.
fn is_reachable(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !local && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_others_can_reach_count() {
        for (text, reachable) in [
            ("10.0.0.7", true),
            ("fd00::7", true),
            ("2001:db8::7", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("169.254.0.9", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_reachable(text.parse().unwrap()), reachable, "{text}");
        }
    }

    #[test]
    fn no_device_leads_from_a_namespace_into_itself() {
        let own = File::open("/proc/thread-self/ns/net").unwrap();
        assert_eq!(devices_into(&own).unwrap(), Vec::<String>::new());
    }
}

//! A look at pinned flow tables from outside the daemon that has them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use aya::Pod;
use aya::maps::{HashMap, Map, MapData};
use enforcer_common::flow::{FlowEntry, FlowKey};

/// Both ends of a flow, the workload's own first.
pub type TrackedPair = (SocketAddr, SocketAddr);

/// Every TCP flow that is tracked below `bpffs`. Tables of another release's layout can't be read; a flow in them isn't told.
pub fn tracked(bpffs: &Path) -> io::Result<HashSet<TrackedPair>> {
    let mut found = HashSet::new();
    let layouts = match fs::read_dir(bpffs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        layouts => layouts?,
    };
    for layout in layouts {
        let maps = layout?.path().join("maps");
        for table in ["FLOWS4", "EMBRYONIC4"] {
            read::<1>(&maps.join(table), v4, &mut found)?;
        }
        for table in ["FLOWS6", "EMBRYONIC6"] {
            read::<4>(&maps.join(table), v6, &mut found)?;
        }
    }
    Ok(found)
}

fn read<const N: usize>(
    pin: &Path,
    address: fn([u32; N]) -> IpAddr,
    found: &mut HashSet<TrackedPair>,
) -> io::Result<()>
where
    FlowKey<N>: Pod,
{
    const TCP: u8 = 6;
    if !pin.exists() {
        return Ok(());
    }
    let data = MapData::from_pin(pin).map_err(io::Error::other)?;
    let map = if pin.file_name().is_some_and(|name| name.to_string_lossy().starts_with("EMBRYONIC")) {
        Map::LruHashMap(data)
    } else {
        Map::HashMap(data)
    };
    let table: HashMap<_, FlowKey<N>, FlowEntry> = HashMap::try_from(map).map_err(io::Error::other)?;
    // What goes while it is read is of no more interest.
    for key in table.keys().map_while(Result::ok).filter(|key| key.protocol == TCP) {
        let end = |at, port| SocketAddr::new(address(at), u16::from_be(port));
        found.insert((end(key.local, key.local_port), end(key.remote, key.remote_port)));
    }
    Ok(())
}

fn v4([word]: [u32; 1]) -> IpAddr {
    Ipv4Addr::from(word.to_ne_bytes()).into()
}

fn v6(words: [u32; 4]) -> IpAddr {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(bytes).into()
}

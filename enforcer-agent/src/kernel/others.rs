//! Others' programs and filters on the hooks that ours use, for whoever wants to know: looked at, never touched.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use enforcer_common::maps::Direction;

use super::attach::{BOTH, side};
use super::guard::{NEXT, XDP_PASS, always_continues};
use super::socket_hook::SocketHook;
use super::sys::{Side, open_pin};
use super::{clsact, query};
use crate::links::{Filters, XdpPrograms};

/// Where a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    /// Before everything else that meets what a device hands to the host.
    Xdp,
    /// A tcx chain, or the filters of clsact.
    Tc(Direction),
}

/// Somebody else's program or filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Other {
    /// The device.
    pub ifindex: u32,
    /// Where on it.
    pub chain: Chain,
    /// A program's name or a filter's kind. Others chose it: escape it where it is shown.
    pub name: String,
    /// A program's id.
    pub program: Option<u32>,
    /// Whether it runs before ours; false where ours isn't there.
    pub ahead: bool,
    /// Whether it may end the chain, so that what comes behind it doesn't see the packet.
    pub ends: bool,
}

/// Everything on these devices' hooks that isn't pinned below `bpffs`.
pub fn others(bpffs: &Path, devices: &[u32]) -> io::Result<Vec<Other>> {
    let ours = ours(bpffs)?;
    let mut filters = Filters::open()?;
    let xdp = XdpPrograms::open()?.all()?;
    let mut found = Vec::new();
    for &ifindex in devices {
        for id in xdp.get(&ifindex).into_iter().flatten() {
            found.push(of_program(ifindex, Chain::Xdp, *id, true));
        }
        for direction in BOTH {
            let mut chain = Vec::new();
            let side = side(direction);
            // Kernels without tcx don't know the question.
            let tcx = match query::chain(ifindex, side) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Vec::new(),
                tcx => tcx?,
            };
            for program in tcx.into_iter().map(|one| one.program) {
                chain.push((
                    ours.contains(&program),
                    of_program(ifindex, Chain::Tc(direction), program, false),
                ));
            }
            for filter in filters.on(ifindex, side == Side::Ingress)? {
                let is_ours = clsact::is_ours(filter.kind == "bpf", filter.handle)
                    && filter.program.is_some_and(|program| ours.contains(&program));
                let one = match filter.program {
                    Some(program) => of_program(ifindex, Chain::Tc(direction), program, false),
                    None => Other {
                        ifindex,
                        chain: Chain::Tc(direction),
                        name: filter.kind,
                        program: None,
                        ahead: false,
                        ends: true,
                    },
                };
                chain.push((is_ours, one));
            }
            let at = chain.iter().position(|(ours, _)| *ours);
            for (place, (is_ours, mut other)) in chain.into_iter().enumerate() {
                other.ahead = at.is_some_and(|at| place < at);
                if !is_ours {
                    found.push(other);
                }
            }
        }
    }
    // Some kinds of filters have several entries for one.
    found.dedup();
    Ok(found)
}

/// Names and ids of the programs on a cgroup that judge what its sockets send and receive.
pub fn cgroup_programs(cgroup: &Path, bpffs: &Path) -> io::Result<Vec<(String, u32)>> {
    let (cgroup, ours) = (File::open(cgroup)?, ours(bpffs)?);
    let mut found = Vec::new();
    for direction in BOTH {
        for id in query::of_cgroup(cgroup.as_fd(), SocketHook::Packets(direction).attach_type())? {
            if !ours.contains(&id) {
                found.push((name(id), id));
            }
        }
    }
    found.dedup();
    Ok(found)
}

fn of_program(ifindex: u32, chain: Chain, id: u32, ahead: bool) -> Other {
    let next = if chain == Chain::Xdp { XDP_PASS } else { NEXT };
    let instructions = query::program(id).and_then(|program| query::instructions(program.as_fd()));
    let ends = !always_continues(&instructions.unwrap_or_default(), next);
    Other { ifindex, chain, name: name(id), program: Some(id), ahead, ends }
}

fn name(id: u32) -> String {
    query::program(id).and_then(|program| query::name(program.as_fd())).unwrap_or_default()
}

/// Ids of the programs that are pinned below `bpffs`, of every layout.
fn ours(bpffs: &Path) -> io::Result<HashSet<u32>> {
    let mut ids = HashSet::new();
    let layouts = match fs::read_dir(bpffs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ids),
        layouts => layouts?,
    };
    for layout in layouts {
        let Ok(pins) = fs::read_dir(layout?.path().join("programs")) else { continue };
        for pin in pins {
            let program = open_pin(&pin?.path())?;
            ids.insert(query::id(program.as_fd())?);
        }
    }
    Ok(ids)
}

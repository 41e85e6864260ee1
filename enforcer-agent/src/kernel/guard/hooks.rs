//! The hooks this daemon has made or adopted, held open: while it runs, its links outlive their pins.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use enforcer_common::maps::Direction;

use super::super::attach::{BOTH, Devices, remove, side};
use super::super::pins::{Kind, LinkPin, Pins};
use super::super::programs::Programs;
use super::super::query::{self, InChain};
use super::super::{clsact, sys};
use super::ending::{NEXT, XDP_PASS, always_continues};
use super::pinned::put_back;
use crate::datapath::{Damage, DatapathError, Fault, Inspection, Place, Unreachable};
use crate::links::{Filter, Filters, XdpPrograms};

/// One direction of a device.
#[derive(Debug)]
struct Held {
    pin: LinkPin,
    /// The link with its number; classifiers have none.
    link: Option<(OwnedFd, u32)>,
    /// When it was last seen to be as it should.
    whole: Instant,
}

/// Every hook there should be.
#[derive(Debug, Default)]
pub(in super::super) struct Hooks {
    held: BTreeMap<(u32, Direction), Held>,
    filters: Option<Filters>,
    xdp: Option<XdpPrograms>,
    /// What was found out about others' programs: name, and whether it always hands on.
    known: HashMap<u32, (String, bool)>,
}

/// What a look at one hook found.
enum Seen {
    Whole,
    /// With what there is to repair.
    Faulty(Damage),
    /// The device has gone; whoever watches devices will say so.
    NoDevice,
}

/// What runs before a hook's own program.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ahead {
    Program(u32),
    Filter(String),
    /// A program that meets frames before this layer does.
    Xdp(u32),
}

impl Hooks {
    /// A hook that is there from now on.
    pub(in super::super) fn hold(&mut self, pin: &LinkPin, link: Option<OwnedFd>) -> io::Result<()> {
        let link = match link {
            Some(link) => {
                let id = sys::link_info(link.as_fd())?.id;
                Some((link, id))
            }
            None => None,
        };
        let held = Held { pin: pin.clone(), link, whole: Instant::now() };
        self.held.insert((pin.ifindex, pin.direction), held);
        Ok(())
    }

    /// The link of a hook, where there is one and it is on its device.
    pub(in super::super) fn live(&self, pin: &LinkPin) -> Option<BorrowedFd<'_>> {
        let held = self.held.get(&(pin.ifindex, pin.direction)).filter(|held| held.pin.kind == pin.kind)?;
        let link = held.link.as_ref()?.0.as_fd();
        sys::link_info(link).is_ok_and(|info| info.ifindex == pin.ifindex).then_some(link)
    }

    /// Takes the hooks of a device off the list.
    pub(in super::super) fn release(&mut self, ifindex: u32) -> Vec<(LinkPin, Option<OwnedFd>)> {
        let gone = BOTH.iter().filter_map(|direction| self.held.remove(&(ifindex, *direction)));
        gone.map(|held| (held.pin, held.link.map(|(link, _)| link))).collect()
    }

    /// Takes every hook off its device. All errors, not just the first.
    pub(in super::super) fn take_off(&mut self) -> Vec<DatapathError> {
        let held = std::mem::take(&mut self.held).into_values();
        held.filter_map(|held| remove(&held.pin, held.link.as_ref().map(|(link, _)| link)).err()).collect()
    }

    /// Devices with a hook in each direction, and devices with one at all.
    pub(in super::super) fn devices(&self) -> (Vec<(u32, Kind)>, Vec<u32>) {
        let one = self.held.values().filter(|held| held.pin.direction == Direction::Egress);
        let both = one.filter_map(|held| {
            let other = self.held.get(&(held.pin.ifindex, Direction::Ingress))?;
            (other.pin.kind == held.pin.kind).then_some((held.pin.ifindex, held.pin.kind))
        });
        let mut all: Vec<u32> = self.held.keys().map(|(ifindex, _)| *ifindex).collect();
        all.dedup();
        (both.collect(), all)
    }

    /// The pins of links, with what is pinned there; marks of classifiers are directories.
    pub(super) fn pins(&self) -> impl Iterator<Item = (&LinkPin, Option<BorrowedFd<'_>>)> {
        self.held.values().map(|held| (&held.pin, held.link.as_ref().map(|(link, _)| link.as_fd())))
    }

    /// Looks at every hook, and puts right what isn't as it should be.
    pub(super) fn look(&mut self, pins: &Pins, programs: &mut Programs, found: &mut Inspection) {
        let devices = match Devices::open() {
            Ok(devices) => devices,
            Err(error) => return found.errors.push(unseen("the devices' names", error)),
        };
        let xdp = self.xdp_programs().unwrap_or_else(|error| {
            found.errors.push(unseen("the XDP programs on devices", error));
            HashMap::new()
        });
        let keys: Vec<(u32, Direction)> = self.held.keys().copied().collect();
        let mut seen_programs = Vec::new();
        for key @ (ifindex, direction) in keys {
            let Some(held) = self.held.get(&key) else { continue };
            let began = Instant::now();
            let ours = match programs.id(direction) {
                Ok(id) => id,
                Err(error) => return found.errors.push(error),
            };
            let looked = match held.pin.kind {
                Kind::Tcx => look_at_tcx(held, ours, &devices),
                Kind::Clsact => look_at_clsact(&mut self.filters, held, ours, &devices),
            };
            let (seen, mut ahead) = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    found.errors.push(unseen(&format!("the hooks of device `{ifindex}`"), error));
                    continue;
                }
            };
            // What a device hands to the host goes by them; what it is given doesn't.
            let first = xdp.get(&ifindex).filter(|_| direction == Direction::Egress);
            ahead.splice(0..0, first.into_iter().flatten().map(|id| Ahead::Xdp(*id)));
            let mut unrepaired = None;
            if let Seen::Faulty(damage) = seen {
                unrepaired = self.repair(key, pins, programs, &devices).err().map(|error| error.to_string());
                found.faults.push(Fault {
                    damage,
                    place: Place::Hook { ifindex, direction },
                    entries: 1,
                    gap: self.held.get(&key).map_or_else(Default::default, |held| held.whole.elapsed()),
                    unrepaired: unrepaired.clone(),
                });
            }
            if let Some(held) = self.held.get_mut(&key).filter(|_| unrepaired.is_none()) {
                held.whole = began;
            }
            for ahead in ahead {
                if let Ahead::Program(id) | Ahead::Xdp(id) = &ahead {
                    seen_programs.push(*id);
                }
                found.unreachable.extend(self.stops(&ahead).map(|(ahead, program)| Unreachable {
                    ifindex,
                    direction,
                    ahead,
                    program,
                }));
            }
        }
        // Ids aren't given out again soon; what is known of programs that are gone needn't be kept.
        self.known.retain(|id, _| seen_programs.contains(id));
    }

    fn repair(
        &mut self,
        key: (u32, Direction),
        pins: &Pins,
        programs: &mut Programs,
        devices: &Devices,
    ) -> Result<(), DatapathError> {
        let Some(held) = self.held.get_mut(&key) else { return Ok(()) };
        let name = devices.name(key.0).unwrap_or_default();
        let pin = pins.link(key.0, key.1, held.pin.kind);
        if held.pin.kind == Kind::Clsact {
            return clsact::attach(&pin, programs, &name);
        }
        let mend = || -> Result<Option<OwnedFd>, io::Error> {
            let program = programs.fd(key.1).map_err(io::Error::other)?;
            if let Some((link, _)) = &held.link
                && sys::link_info(link.as_fd())?.ifindex == key.0
            {
                sys::update_link(link.as_fd(), program.as_fd())?;
                return Ok(None);
            }
            let link = sys::create_tcx_link(program.as_fd(), key.0, side(key.1))?;
            put_back(&pin.path, link.as_fd())?;
            Ok(Some(link))
        };
        let failed = |error| DatapathError::caused(format_args!("cannot attach to `{name}` again"), error);
        if let Some(link) = mend().map_err(failed)? {
            let id = sys::link_info(link.as_fd()).map_err(failed)?.id;
            held.link = Some((link, id));
        }
        Ok(())
    }

    /// What is ahead, with its id, unless it is sure to hand every packet on.
    fn stops(&mut self, ahead: &Ahead) -> Option<(String, Option<u32>)> {
        let (id, next) = match ahead {
            Ahead::Filter(kind) => return Some((kind.clone(), None)),
            Ahead::Program(id) => (*id, NEXT),
            Ahead::Xdp(id) => (*id, XDP_PASS),
        };
        let (name, continues) = self.known.entry(id).or_insert_with(|| {
            let Ok(program) = query::program(id) else { return (String::new(), false) };
            let name = query::name(program.as_fd()).unwrap_or_default();
            let instructions = query::instructions(program.as_fd()).unwrap_or_default();
            (name, always_continues(&instructions, next))
        });
        let shown = if next == XDP_PASS { format!("xdp {name}") } else { name.clone() };
        (!*continues).then_some((shown, Some(id)))
    }

    /// The XDP programs on every device of this network namespace.
    fn xdp_programs(&mut self) -> io::Result<HashMap<u32, Vec<u32>>> {
        if self.held.is_empty() {
            return Ok(HashMap::new());
        }
        let xdp = match &mut self.xdp {
            Some(xdp) => xdp,
            None => self.xdp.insert(XdpPrograms::open()?),
        };
        xdp.all()
    }
}

fn unseen(what: &str, error: io::Error) -> DatapathError {
    DatapathError::caused(format_args!("cannot look at {what}"), error)
}

fn look_at_tcx(held: &Held, ours: u32, devices: &Devices) -> io::Result<(Seen, Vec<Ahead>)> {
    let chain = match query::chain(held.pin.ifindex, side(held.pin.direction)) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok((Seen::NoDevice, Vec::new())),
        chain => chain?,
    };
    let link = held.link.as_ref().map_or(0, |(_, id)| *id);
    match chain.iter().position(|one| one.link == link) {
        Some(at) => {
            let ahead = chain[..at].iter().map(|one| Ahead::Program(one.program)).collect();
            let seen =
                if chain[at].program == ours { Seen::Whole } else { Seen::Faulty(Damage::ProgramReplaced) };
            Ok((seen, ahead))
        }
        None if devices.name(held.pin.ifindex).is_some() => {
            Ok((Seen::Faulty(Damage::HookRemoved), Vec::new()))
        }
        None => Ok((Seen::NoDevice, Vec::new())),
    }
}

fn look_at_clsact(
    filters: &mut Option<Filters>,
    held: &Held,
    ours: u32,
    devices: &Devices,
) -> io::Result<(Seen, Vec<Ahead>)> {
    if devices.name(held.pin.ifindex).is_none() {
        return Ok((Seen::NoDevice, Vec::new()));
    }
    let side = side(held.pin.direction);
    let filters = match filters {
        Some(filters) => filters,
        None => filters.insert(Filters::open()?),
    };
    let all = match filters.on(held.pin.ifindex, side == sys::Side::Ingress) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok((Seen::NoDevice, Vec::new())),
        all => all?,
    };
    // Where the kernel has tcx too, its programs run before all filters. Where it hasn't, it doesn't know the question.
    let tcx = query::chain(held.pin.ifindex, side).unwrap_or_default();
    let mut ahead: Vec<Ahead> =
        tcx.into_iter().map(|InChain { program, .. }| Ahead::Program(program)).collect();
    let Some(at) = all.iter().position(|filter| clsact::is_ours(filter.kind == "bpf", filter.handle)) else {
        return Ok((Seen::Faulty(Damage::HookRemoved), ahead));
    };
    ahead.extend(all[..at].iter().map(|Filter { kind, program, .. }| match program {
        Some(id) => Ahead::Program(*id),
        None => Ahead::Filter(kind.clone()),
    }));
    // Some kinds have several entries for one filter.
    ahead.dedup();
    let whole = all[at].program == Some(ours);
    Ok((if whole { Seen::Whole } else { Seen::Faulty(Damage::ProgramReplaced) }, ahead))
}

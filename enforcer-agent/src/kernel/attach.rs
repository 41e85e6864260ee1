//! Programs on devices. A link is made, pinned, and from then on only ever updated, so that no packet goes unjudged.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use enforcer_common::maps::Direction;
use rustix::net::netdevice;

use super::guard::hooks::Hooks;
use super::pins::{Kind, LinkPin, Pins};
use super::programs::Programs;
use super::{clsact, sys};
use crate::datapath::{Attachment, DatapathError, Hook};

pub(super) const BOTH: [Direction; 2] = [Direction::Egress, Direction::Ingress];

/// The workload's sending is the host side's receiving.
pub(super) const fn side(direction: Direction) -> sys::Side {
    match direction {
        Direction::Egress => sys::Side::Ingress,
        Direction::Ingress => sys::Side::Egress,
    }
}

/// Hooks both directions of a device.
pub(super) fn attach(
    pins: &Pins,
    hooks: &mut Hooks,
    programs: &mut Programs,
    tcx: bool,
    ifindex: u32,
    name: &str,
) -> Result<Attachment, DatapathError> {
    for direction in BOTH {
        if tcx {
            let pin = pins.link(ifindex, direction, Kind::Tcx);
            attach_tcx(&pin, hooks, programs).map_err(|error| refused(ifindex, name, error))?;
            // A classifier of a time without tcx would judge every packet twice.
            remove(&pins.link(ifindex, direction, Kind::Clsact), None)?;
        } else {
            let mark = pins.link(ifindex, direction, Kind::Clsact);
            clsact::attach(&mark, programs, name)?;
            hooks.hold(&mark, None).map_err(|error| refused(ifindex, name, error))?;
        }
    }
    Ok(Attachment { ifindex, hook: if tcx { Hook::Tcx } else { Hook::Clsact } })
}

fn refused(ifindex: u32, name: &str, error: io::Error) -> DatapathError {
    let gone = error.raw_os_error() == Some(libc::ENODEV);
    let error = DatapathError::caused(format_args!("cannot attach to `{name}` (index `{ifindex}`)"), error);
    if gone { error.with_help("the device is gone") } else { error }
}

fn attach_tcx(pin: &LinkPin, hooks: &mut Hooks, programs: &Programs) -> io::Result<()> {
    let program = programs.fd(pin.direction).map_err(io::Error::other)?;
    if let Some(link) = hooks.live(pin) {
        return sys::update_link(link, program.as_fd());
    }
    match sys::open_pin(&pin.path) {
        Ok(link) if sys::link_info(link.as_fd())?.ifindex == pin.ifindex => {
            sys::update_link(link.as_fd(), program.as_fd())?;
            return hooks.hold(pin, Some(link));
        }
        // An earlier device had this index.
        Ok(_) => fs::remove_file(&pin.path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let link = sys::create_tcx_link(program.as_fd(), pin.ifindex, side(pin.direction))?;
    sys::pin(&link, &pin.path)?;
    hooks.hold(pin, Some(link))
}

/// Takes the programs off a device; whether there were any.
pub(super) fn detach(pins: &Pins, hooks: &mut Hooks, ifindex: u32) -> Result<bool, DatapathError> {
    let held = hooks.release(ifindex);
    held.iter().try_for_each(|(pin, link)| remove(pin, link.as_ref()))?;
    let links = pins.links()?.into_iter().chain(pins.links_of_others()?);
    let links: Vec<LinkPin> = links.filter(|link| link.ifindex == ifindex).collect();
    links.iter().try_for_each(|link| remove(link, None))?;
    Ok(!links.is_empty() || !held.is_empty())
}

/// Takes a link off and forgets it. Neither it nor its pin nor the device need be there.
pub(super) fn remove(link: &LinkPin, held: Option<&OwnedFd>) -> Result<(), DatapathError> {
    let work = || -> io::Result<()> {
        match link.kind {
            Kind::Tcx => sys::detach_pinned(&link.path, held.map(AsFd::as_fd)),
            Kind::Clsact if link.path.exists() => {
                clsact::detach(link)?;
                fs::remove_dir(&link.path)
            }
            Kind::Clsact => Ok(()),
        }
    };
    match work() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DatapathError::caused(format_args!("cannot detach `{}`", link.path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Forgets hooks of devices that have gone; whether there were any.
pub(super) fn forget_gone(pins: &Pins, hooks: &mut Hooks) -> Result<bool, DatapathError> {
    let devices = Devices::open()
        .map_err(|error| DatapathError::caused("cannot tell which devices there are", error))?;
    let mut any = false;
    for ifindex in hooks.devices().1 {
        if devices.name(ifindex).is_none() {
            any |= detach(pins, hooks, ifindex)?;
        }
    }
    Ok(any)
}

/// Every device hooked in both directions.
pub(super) fn attached(hooks: &Hooks) -> Vec<Attachment> {
    let hook = |kind| match kind {
        Kind::Tcx => Hook::Tcx,
        Kind::Clsact => Hook::Clsact,
    };
    let whole = hooks.devices().0.into_iter();
    whole.map(|(ifindex, kind)| Attachment { ifindex, hook: hook(kind) }).collect()
}

fn is_there(link: &LinkPin) -> Result<bool, DatapathError> {
    if link.kind == Kind::Clsact {
        return Ok(name_of(link.ifindex).is_ok());
    }
    let info = sys::open_pin(&link.path).and_then(|link| sys::link_info(link.as_fd()));
    let info = info.map_err(|error| {
        DatapathError::caused(format_args!("cannot read `{}`", link.path.display()), error)
    })?;
    Ok(info.ifindex == link.ifindex)
}

/// The devices of this network namespace, to ask for their names.
pub(super) struct Devices(OwnedFd);

impl Devices {
    pub(super) fn open() -> io::Result<Self> {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)?;
        Ok(Self(socket))
    }

    /// The name a device has now; none where there is no such device.
    pub(super) fn name(&self, ifindex: u32) -> Option<String> {
        netdevice::index_to_name(&self.0, ifindex).ok()
    }
}

/// The name a device has now.
pub(super) fn name_of(ifindex: u32) -> io::Result<String> {
    let socket = Devices::open()?;
    Ok(netdevice::index_to_name(&socket.0, ifindex)?)
}

/// Takes hold of every link that is there, puts these programs into it, and forgets links of devices that have gone.
pub(super) fn upgrade(pins: &Pins, hooks: &mut Hooks, programs: &mut Programs) -> Result<(), DatapathError> {
    for link in pins.links()? {
        if !is_there(&link)? {
            remove(&link, None)?;
            continue;
        }
        replace(&link, programs)?;
        adopt(&link, hooks)?;
    }
    Ok(())
}

/// Takes hold of a link by its pin.
fn adopt(pin: &LinkPin, hooks: &mut Hooks) -> Result<(), DatapathError> {
    let link = match pin.kind {
        Kind::Tcx => sys::open_pin(&pin.path).map(Some),
        Kind::Clsact => Ok(None),
    };
    match link.and_then(|link| hooks.hold(pin, link)) {
        // The device went this moment, and its link with it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| {
            DatapathError::caused(format_args!("cannot take hold of `{}`", pin.path.display()), error)
        }),
    }
}

fn replace(link: &LinkPin, programs: &mut Programs) -> Result<(), DatapathError> {
    let failed = |error: io::Error| {
        DatapathError::caused(
            format_args!("cannot put the new program into `{}`", link.path.display()),
            error,
        )
    };
    if link.kind == Kind::Clsact {
        let name = name_of(link.ifindex).map_err(failed)?;
        return clsact::attach(link, programs, &name);
    }
    let program = programs.fd(link.direction)?;
    let update = || sys::update_link(sys::open_pin(&link.path)?.as_fd(), program.as_fd());
    match update() {
        // The device went this moment.
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => remove(link, None),
        result => result.map_err(failed),
    }
}

/// Whether two pins are of one link.
fn same_link(one: &LinkPin, other: &LinkPin) -> io::Result<bool> {
    let id = |pin: &LinkPin| Ok::<_, io::Error>(sys::link_info(sys::open_pin(&pin.path)?.as_fd())?.id);
    Ok(id(one)? == id(other)?)
}

/// Takes over the links of other layouts: what an earlier release attached now runs these programs.
pub(super) fn take_over(
    pins: &Pins,
    hooks: &mut Hooks,
    programs: &mut Programs,
) -> Result<(), DatapathError> {
    for link in pins.links_of_others()? {
        if !is_there(&link)? {
            remove(&link, None)?;
            continue;
        }
        let failed = |error: io::Error| {
            DatapathError::caused(format_args!("cannot take over `{}`", link.path.display()), error)
        };
        let ours = pins.link(link.ifindex, link.direction, link.kind);
        replace(&link, programs)?;
        if link.kind == Kind::Tcx {
            match sys::open_pin(&link.path).and_then(|fd| sys::pin(fd, &ours.path)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if same_link(&link, &ours).map_err(failed)? {
                        // Whoever took it over before was killed at it.
                        fs::remove_file(&link.path).map_err(failed)?;
                    } else {
                        // Attached by us too: the older one is one too many.
                        remove(&link, None)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => {
                    result.map_err(failed)?;
                    fs::remove_file(&link.path).map_err(failed)?;
                }
            }
        } else {
            fs::rename(&link.path, &ours.path).map_err(failed)?;
        }
        // Attached by us too, it is held already; its link is another one then.
        if hooks.live(&ours).is_none() {
            adopt(&ours, hooks)?;
        }
    }
    pins.remove_others()
}

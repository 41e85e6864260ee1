//! Programs on devices. A link is made, pinned, and from then on only ever updated, so that no packet goes unjudged.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use enforcer_common::maps::Direction;
use rustix::net::netdevice;

use super::pins::{Kind, LinkPin, Pins};
use super::programs::Programs;
use super::{clsact, sys};
use crate::datapath::{Attachment, DatapathError, Hook};

const BOTH: [Direction; 2] = [Direction::Egress, Direction::Ingress];

/// The workload's sending is the host side's receiving.
const fn side(direction: Direction) -> sys::Side {
    match direction {
        Direction::Egress => sys::Side::Ingress,
        Direction::Ingress => sys::Side::Egress,
    }
}

/// Hooks both directions of a device.
pub(super) fn attach(
    pins: &Pins,
    programs: &mut Programs,
    tcx: bool,
    ifindex: u32,
    name: &str,
) -> Result<Attachment, DatapathError> {
    for direction in BOTH {
        if tcx {
            let pin = pins.link(ifindex, direction, Kind::Tcx);
            attach_tcx(&pin, programs.fd(direction)?.as_fd())
                .map_err(|error| refused(ifindex, name, error))?;
            // A classifier of a time without tcx would judge every packet twice.
            remove(&pins.link(ifindex, direction, Kind::Clsact))?;
        } else {
            clsact::attach(&pins.link(ifindex, direction, Kind::Clsact), programs, name)?;
        }
    }
    Ok(Attachment { ifindex, hook: if tcx { Hook::Tcx } else { Hook::Clsact } })
}

fn refused(ifindex: u32, name: &str, error: io::Error) -> DatapathError {
    let gone = error.raw_os_error() == Some(libc::ENODEV);
    let error = DatapathError::caused(format_args!("cannot attach to `{name}` (index `{ifindex}`)"), error);
    if gone { error.with_help("the device is gone") } else { error }
}

fn attach_tcx(pin: &LinkPin, program: BorrowedFd<'_>) -> io::Result<()> {
    match sys::open_pin(&pin.path) {
        Ok(link) if sys::link_info(link.as_fd())?.ifindex == pin.ifindex => {
            return sys::update_link(link.as_fd(), program);
        }
        // An earlier device had this index.
        Ok(_) => fs::remove_file(&pin.path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let link = sys::create_tcx_link(program, pin.ifindex, side(pin.direction))?;
    sys::pin(link, &pin.path)
}

/// Takes the programs off a device; whether there were any.
pub(super) fn detach(pins: &Pins, ifindex: u32) -> Result<bool, DatapathError> {
    let links = pins.links()?.into_iter().chain(pins.links_of_others()?);
    let links: Vec<LinkPin> = links.filter(|link| link.ifindex == ifindex).collect();
    links.iter().try_for_each(remove)?;
    Ok(!links.is_empty())
}

/// Takes a link off and forgets it. Neither it nor the device need be there.
pub(super) fn remove(link: &LinkPin) -> Result<(), DatapathError> {
    let work = || -> io::Result<()> {
        match link.kind {
            Kind::Tcx => {
                match sys::open_pin(&link.path).map(|link| sys::detach_link(link.as_fd())) {
                    Ok(Err(error)) if error.raw_os_error() != Some(libc::ENOLINK) => return Err(error),
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                fs::remove_file(&link.path)
            }
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

/// Every device hooked in both directions. Forgets those that have gone.
pub(super) fn attached(pins: &Pins) -> Result<Vec<Attachment>, DatapathError> {
    let mut whole = Vec::new();
    let mut half = None;
    for link in pins.links()? {
        if !is_there(&link)? {
            remove(&link)?;
            continue;
        }
        let hook = match link.kind {
            Kind::Tcx => Hook::Tcx,
            Kind::Clsact => Hook::Clsact,
        };
        let this = Attachment { ifindex: link.ifindex, hook };
        // Sorted by index: both directions of a device follow each other.
        if half.replace(this) == Some(this) {
            whole.push(this);
            half = None;
        }
    }
    Ok(whole)
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

/// The name a device has now.
pub(super) fn name_of(ifindex: u32) -> io::Result<String> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)?;
    Ok(netdevice::index_to_name(socket, ifindex)?)
}

/// Puts these programs into every link that is there, and forgets links of devices that have gone.
pub(super) fn upgrade(pins: &Pins, programs: &mut Programs) -> Result<(), DatapathError> {
    for link in pins.links()? {
        if !is_there(&link)? {
            remove(&link)?;
            continue;
        }
        replace(&link, programs)?;
    }
    Ok(())
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
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => remove(link),
        result => result.map_err(failed),
    }
}

/// Takes over the links of other layouts: what an earlier release attached now runs these programs.
pub(super) fn take_over(pins: &Pins, programs: &mut Programs) -> Result<(), DatapathError> {
    for link in pins.links_of_others()? {
        if !is_there(&link)? {
            remove(&link)?;
            continue;
        }
        let failed = |error: io::Error| {
            DatapathError::caused(format_args!("cannot take over `{}`", link.path.display()), error)
        };
        let ours = pins.link(link.ifindex, link.direction, link.kind);
        replace(&link, programs)?;
        if link.kind == Kind::Tcx {
            match sys::open_pin(&link.path).and_then(|fd| sys::pin(fd, &ours.path)) {
                // Attached by us too, or the device went: the older one is one too many.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove(&link)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => {
                    result.map_err(failed)?;
                    fs::remove_file(&link.path).map_err(failed)?;
                }
            }
        } else {
            fs::rename(&link.path, &ours.path).map_err(failed)?;
        }
    }
    pins.remove_others()
}

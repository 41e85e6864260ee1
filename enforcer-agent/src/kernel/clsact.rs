//! Attaching on kernels before 6.6: classifiers of the clsact qdisc. They can't be pinned and stay by themselves, so a
//! directory beside the pins of links records each.

use std::fs;
use std::io;

use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{SchedClassifier, TcAttachType};
use enforcer_common::maps::Direction;

use super::attach::name_of;
use super::bpffs::make_dir;
use super::pins::LinkPin;
use super::programs::Programs;
use crate::datapath::DatapathError;
use crate::links::Filters;

/// First of all; where another's filter of another kind has that place, behind it.
const PRIORITIES: [u16; 2] = [1, 2];
/// The handle is ours, so what carries it is ours.
const MAJOR: u16 = 0x656e;
const MINOR: u16 = 0x6600;
const HANDLE: TcHandle = TcHandle::new(MAJOR, MINOR);

const fn parent(direction: Direction) -> TcAttachType {
    match direction {
        Direction::Egress => TcAttachType::Ingress,
        Direction::Ingress => TcAttachType::Egress,
    }
}

/// Whether a filter with this handle is one that [`attach`] made.
pub(super) fn is_ours(bpf: bool, handle: u32) -> bool {
    bpf && handle == (MAJOR as u32) << 16 | MINOR as u32
}

/// Puts the program on the device, in place of its own predecessor where there is one.
pub(super) fn attach(mark: &LinkPin, programs: &mut Programs, name: &str) -> Result<(), DatapathError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        DatapathError::caused(format_args!("cannot attach to `{name}` (index `{}`)", mark.ifindex), error)
    };
    make_dir(&mark.path)?;
    // The qdisc may be there, ours or another's; if it can't be made, attaching says so.
    if qdisc_add_clsact(name).is_ok() {
        make_dir(&mark.qdisc)?;
    }
    let program = programs.classifier(mark.direction);
    put(program, parent(mark.direction), name).map_err(failed)?;
    // aya only takes names, and names move.
    match name_of(mark.ifindex) {
        Ok(now) if now == name => Ok(()),
        Ok(now) => Err(failed(format!("it was renamed to `{now}` meanwhile").into())),
        Err(error) => Err(failed(error.into())),
    }
}

fn put(
    program: &mut SchedClassifier,
    parent: TcAttachType,
    name: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let [first, second] = PRIORITIES;
    if put_at(program, parent, name, first).is_err() {
        return put_at(program, parent, name, second);
    }
    // From a time when the first place was taken; dropped, it is taken off.
    drop(SchedClassifierLink::attached(name, parent, second, HANDLE, None)?);
    Ok(())
}

fn put_at(
    program: &mut SchedClassifier,
    parent: TcAttachType,
    name: &str,
    priority: u16,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let ours = SchedClassifierLink::attached(name, parent, priority, HANDLE, None)?;
    let id = match program.attach_to_link(ours) {
        Ok(id) => id,
        Err(_) => {
            let options = NlOptions { priority, handle: HANDLE, classid: None };
            program.attach_with_options(name, parent, TcAttachOptions::Netlink(options))?
        }
    };
    // Dropped, it would detach.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// Takes the program off, if the device is still there, and the qdisc, if it was made for us and nobody has anything there any more.
pub(super) fn detach(mark: &LinkPin) -> io::Result<()> {
    let Ok(name) = name_of(mark.ifindex) else { return forget_qdisc(mark) };
    for priority in PRIORITIES {
        // Dropping detaches, and it not being there is what is wanted.
        drop(SchedClassifierLink::attached(&name, parent(mark.direction), priority, HANDLE, None)?);
    }
    if mark.qdisc.exists() && Filters::open()?.remove_empty_qdisc(mark.ifindex)? {
        return forget_qdisc(mark);
    }
    Ok(())
}

fn forget_qdisc(mark: &LinkPin) -> io::Result<()> {
    match fs::remove_dir(&mark.qdisc) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_known_by_its_handle() {
        assert!(is_ours(true, 0x656e_6600));
        assert!(!is_ours(false, 0x656e_6600) && !is_ours(true, 0x656e_6601));
    }
}

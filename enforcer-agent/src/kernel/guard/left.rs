//! How everything was left, for the next daemon: what isn't so any more was changed while none ran.
//!
//! It is kept as names of empty directories beside the pins, so it goes with them and with a reboot:
//!
//! ```text
//! <bpffs>/v<layout>/left/looked               its time is when everything was last seen whole, on the boot-time clock
//! <bpffs>/v<layout>/left/<name of a link>     a hook that there should be
//! <bpffs>/v<layout>/left/<name of a link>-<cgroup>  the same at the sockets below a cgroup
//! <bpffs>/v<layout>/left/tables-…             digests of the generation in force
//! ```
//!
//! Only what is certain is told: where a daemon was killed before it could write this down, less is known.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aya::Pod;
use aya::maps::MapError;
use enforcer_common::maps::{Control, limits};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::time::{ClockId, clock_gettime};

use super::super::attach::{BOTH, Devices, side};
use super::super::bank::Bank;
use super::super::batch::range;
use super::super::pins::{self, Kind, LinkPin, Pins};
use super::super::programs::{self, Programs};
use super::super::socket_hook::SocketHook;
use super::super::sockets::Sockets;
use super::super::tables::Tables;
use super::super::{bpffs, clsact, query, sys};
use super::at_sockets::AtSockets;
use super::hooks::Hooks;
use crate::datapath::{Damage, DatapathError, Fault, Place};
use crate::links::Filters;

const LOOKED: &str = "looked";
const TABLES: &str = "tables-";
/// A generation that is changed all the time is written down no more often than this.
const DIGESTS: Duration = Duration::from_secs(5);

/// What stands in each table, as one number.
const DIGESTED: [&str; 10] = [
    "GENERATIONS",
    "SUBJECTS",
    "ADDRESSES4",
    "ADDRESSES6",
    "PREFIXES4",
    "PREFIXES6",
    "PAIRS",
    "QUARANTINES",
    "INTERVALS",
    "DECISIONS",
];
type Digests = [u32; DIGESTED.len()];

fn boot_time() -> Timespec {
    clock_gettime(ClockId::Boottime)
}

/// Writes down how everything is left.
#[derive(Debug)]
pub(in super::super) struct Left {
    /// Names of what stands there; `None` where that isn't known.
    written: Option<BTreeSet<String>>,
    digested: Option<(Control, Instant)>,
}

impl Left {
    pub(super) fn new() -> Self {
        Self { written: None, digested: None }
    }

    /// Everything was looked at, and was whole or not.
    pub(super) fn looked(
        &mut self,
        pins: &Pins,
        (hooks, sockets): (&Hooks, &Sockets),
        generation: Option<(Control, &Bank)>,
        whole: bool,
    ) -> Result<(), DatapathError> {
        let dir = pins.left();
        let wanted = || {
            hooks
                .pins()
                .filter_map(|(pin, _)| name(pin))
                .chain(sockets.hooks().map(AtSockets::name))
                .collect()
        };
        let mut done = self.write(&dir, wanted(), generation, whole);
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // Somebody took the directory away with the pins, which has been told.
            (self.written, self.digested) = (None, None);
            done = self.write(&dir, wanted(), generation, whole);
        }
        done.map_err(|error| {
            self.written = None;
            DatapathError::caused(format_args!("cannot write to `{}`", dir.display()), error)
        })
    }

    fn write(
        &mut self,
        dir: &Path,
        mut after: BTreeSet<String>,
        generation: Option<(Control, &Bank)>,
        whole: bool,
    ) -> io::Result<()> {
        let make = |name: &str| bpffs::make_dir(&dir.join(name)).map_err(io::Error::other);
        let before = match self.written.take() {
            Some(written) => written,
            None => {
                make(LOOKED)?;
                names(dir)?.into_iter().collect()
            }
        };
        after.insert(LOOKED.to_owned());
        match generation.filter(|(control, _)| self.is_due(*control)) {
            Some((control, record)) => {
                after.insert(Mark::of(control, record).name());
                self.digested = Some((control, Instant::now()));
            }
            None => after.extend(before.iter().filter(|name| name.starts_with(TABLES)).cloned()),
        }
        for gone in before.difference(&after) {
            remove(&dir.join(gone))?;
        }
        after.difference(&before).try_for_each(|new| make(new))?;
        if whole {
            let now = boot_time();
            let times = Timestamps { last_access: now, last_modification: now };
            utimensat(CWD, dir.join(LOOKED), &times, AtFlags::empty())?;
        }
        self.written = Some(after);
        Ok(())
    }

    fn is_due(&self, control: Control) -> bool {
        self.digested.is_none_or(|(known, at)| known != control && at.elapsed() >= DIGESTS)
    }

    /// Before a device's hooks are taken off: nobody else did.
    pub(in super::super) fn forget(&mut self, pins: &Pins, ifindex: u32) {
        for direction in BOTH {
            for kind in [Kind::Tcx, Kind::Clsact] {
                let Some(name) = name(&pins.link(ifindex, direction, kind)) else { continue };
                self.strike(pins, &name);
            }
        }
    }

    /// The same for the hooks at sockets.
    pub(in super::super) fn forget_sockets(&mut self, pins: &Pins, sockets: &Sockets) {
        sockets.hooks().for_each(|hook| self.strike(pins, &hook.name()));
    }

    fn strike(&mut self, pins: &Pins, name: &str) {
        if let Some(written) = &mut self.written {
            written.remove(name);
        }
        // What isn't there needn't go; what can't be removed is told at the next start, if anybody still cares.
        let _ = remove(&pins.left().join(name));
    }
}

fn name(pin: &LinkPin) -> Option<String> {
    Some(pin.path.file_name()?.to_str()?.to_owned())
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    entries.collect()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What the last daemon left, and what there is of it, before this one touches anything.
#[derive(Debug, Default)]
pub(in super::super) struct Found {
    /// Since the last daemon saw everything whole; `None` where it never did.
    away: Option<Duration>,
    /// Maps that aren't pinned any more.
    pub(in super::super) missing: Vec<PathBuf>,
    hooks: Vec<Place>,
    /// Hooks that run a program with this tag.
    running: Vec<(Place, query::Tag)>,
    /// Tags of programs of ours.
    ours: Vec<query::Tag>,
    mark: Option<Mark>,
}

impl Found {
    /// Looks at the pins, of which these maps should be.
    pub(in super::super) fn of(pins: &Pins, maps: &[String]) -> Result<Self, DatapathError> {
        let dir = pins.left();
        let looked = dir.join(LOOKED);
        let Ok(seen) = fs::metadata(&looked) else { return Ok(Self::default()) };
        let look = || -> io::Result<Self> {
            use std::os::unix::fs::MetadataExt;
            let now = boot_time();
            let since = |seconds: i64, nanoseconds: i64| {
                Duration::from_secs(seconds.unsigned_abs()) + Duration::from_nanos(nanoseconds.unsigned_abs())
            };
            let away = since(now.tv_sec, now.tv_nsec).saturating_sub(since(seen.mtime(), seen.mtime_nsec()));
            let missing = maps.iter().map(|name| pins.map(name)).filter(|pin| !pin.exists()).collect();
            let mut found = Self { away: Some(away), missing, ..Self::default() };
            let (devices, mut filters) = (Devices::open()?, None);
            for name in names(&dir)? {
                if let Some((ifindex, direction, kind)) = pins::parse(&name) {
                    if devices.name(ifindex).is_none() {
                        remove(&dir.join(name))?;
                        continue;
                    }
                    let pin = pins.link(ifindex, direction, kind);
                    let place = Place::Hook { ifindex, direction };
                    match running(&pin, &mut filters)? {
                        Some(tag) => found.running.push((place, tag)),
                        None => found.hooks.push(place),
                    }
                } else if let Some(hook) = AtSockets::parse(&name) {
                    let place = hook.hook.place();
                    match hook.running(pins)? {
                        Some(tag) => found.running.push((place, tag)),
                        // The cgroup has gone, and the hook with it.
                        None if !hook.has_cgroup() => remove(&dir.join(name))?,
                        None => found.hooks.push(place),
                    }
                } else if let Some(mark) = Mark::parse(&name) {
                    found.mark = Some(mark);
                }
            }
            let names = BOTH.map(programs::name).into_iter().chain(SocketHook::ALL.map(SocketHook::program));
            found.ours = names.flat_map(|name| pins.tags(name)).collect();
            Ok(found)
        };
        look()
            .map_err(|error| DatapathError::caused("cannot tell how the last daemon left everything", error))
    }

    /// What is certain to have been changed.
    pub(in super::super) fn faults(
        mut self,
        tables: &Tables,
        programs: &Programs,
    ) -> Result<Vec<Fault>, DatapathError> {
        let Some(gap) = self.away else { return Ok(Vec::new()) };
        for (_, program) in programs.all()? {
            let tag = query::tag(program.as_fd());
            self.ours
                .push(tag.map_err(|error| DatapathError::caused("cannot ask for a program's tag", error))?);
        }
        let fault = |damage, place, entries| Fault { damage, place, entries, gap, unrepaired: None };
        let gone = self.hooks.into_iter();
        let mut faults: Vec<Fault> = gone.map(|place| fault(Damage::HookRemoved, place, 1)).collect();
        let foreign = self.running.into_iter().filter(|(_, tag)| !self.ours.contains(tag));
        faults.extend(foreign.map(|(place, _)| fault(Damage::ProgramReplaced, place, 1)));
        faults.extend(
            self.missing
                .iter()
                .map(|pin| fault(Damage::PinRemoved, Place::Pin(pin.display().to_string()), 1)),
        );
        // Tables that were made anew just now are empty, which is no news.
        if let Some(mark) = self.mark.filter(|_| self.missing.is_empty()) {
            let control = tables.control.read()?;
            let switched = control.epoch() < mark.epoch
                || (control.epoch() == mark.epoch && control.bank() != mark.bank);
            if switched {
                faults.push(fault(Damage::GenerationSwitched, Place::Table("CONTROL"), 1));
            } else if control.epoch() == mark.epoch && !control.is_changing() {
                let unread = |error| DatapathError::caused("cannot read the maps", error);
                let there = mark.read(tables).map_err(unread)?;
                let differ =
                    DIGESTED.iter().zip(there.iter().zip(&mark.digests)).filter(|(_, (a, b))| a != b);
                // How many isn't known: only that they aren't the same.
                faults.extend(differ.map(|(table, _)| fault(Damage::TableChanged, Place::Table(table), 1)));
            }
        }
        Ok(faults)
    }
}

/// The tag of the program in a hook; none where the hook is gone.
fn running(pin: &LinkPin, filters: &mut Option<Filters>) -> io::Result<Option<query::Tag>> {
    let id = match pin.kind {
        Kind::Tcx if pin.path.exists() => {
            let info = sys::link_info(sys::open_pin(&pin.path)?.as_fd())?;
            (info.ifindex == pin.ifindex).then_some(info.program)
        }
        Kind::Tcx => None,
        Kind::Clsact => {
            let filters = match filters {
                Some(filters) => filters,
                None => filters.insert(Filters::open()?),
            };
            let all = filters.on(pin.ifindex, side(pin.direction) == sys::Side::Ingress)?;
            let ours = |kind: &str, handle| clsact::is_ours(kind == "bpf", handle);
            all.iter().find(|filter| ours(&filter.kind, filter.handle)).and_then(|filter| filter.program)
        }
    };
    id.map(|id| query::tag(query::program(id)?.as_fd())).transpose()
}

/// What a generation is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    epoch: u32,
    bank: u32,
    /// How many intervals and decisions it has.
    indexed: [u32; 2],
    digests: Digests,
}

impl Mark {
    fn of(control: Control, record: &Bank) -> Self {
        let indexed = [record.intervals.len() as u32, record.decisions.len() as u32];
        Self { epoch: control.epoch(), bank: control.bank(), indexed, digests: digests(record) }
    }

    fn name(&self) -> String {
        let numbers = [self.epoch, self.bank].into_iter().chain(self.indexed).chain(self.digests);
        let numbers: Vec<String> = numbers.map(|number| format!("{number:x}")).collect();
        format!("{TABLES}{}", numbers.join("-"))
    }

    fn parse(name: &str) -> Option<Self> {
        let numbers =
            name.strip_prefix(TABLES)?.split('-').map(|number| u32::from_str_radix(number, 16).ok());
        let numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
        let (&[epoch, bank, intervals, decisions], digests) = numbers.split_first_chunk()?;
        Some(Self {
            epoch,
            bank: bank & 1,
            indexed: [intervals, decisions],
            digests: digests.try_into().ok()?,
        })
    }

    /// The digests of what stands there now.
    fn read(&self, tables: &Tables) -> Result<Digests, MapError> {
        let mut there = Bank::read(tables, self.bank)?;
        let [intervals, decisions] =
            [(self.indexed[0], limits::INTERVALS), (self.indexed[1], limits::DECISIONS)]
                .map(|(count, room)| count.min(room) as usize);
        there.intervals = range(&tables.intervals, self.bank * limits::INTERVALS, intervals)?;
        there.decisions = range(&tables.decisions, self.bank * limits::DECISIONS, decisions)?;
        there.generation = tables.generations.get(&self.bank, 0)?;
        Ok(digests(&there))
    }
}

/// In the order of [`DIGESTED`].
fn digests(bank: &Bank) -> Digests {
    // A subject of zeroes is none.
    let subjects: Vec<_> =
        bank.subjects.iter().copied().filter(|(_, subject)| *subject != Default::default()).collect();
    [
        of_values(std::slice::from_ref(&bank.generation)),
        of_entries(&subjects, |key| [*key]),
        of_entries(&bank.addresses4, |key| *key),
        of_entries(&bank.addresses6, |key| *key),
        of_entries(&bank.prefixes4, |(length, address)| [*length, address[0]]),
        of_entries(&bank.prefixes6, |(length, [a, b, c, d])| [*length, *a, *b, *c, *d]),
        of_entries(&bank.pairs, |key| *key),
        of_entries(&bank.quarantines, |key| [*key]),
        of_values(&bank.intervals),
        of_values(&bank.decisions),
    ]
}

fn of_entries<K, V: Pod, const N: usize>(entries: &[(K, V)], key: impl Fn(&K) -> [u32; N]) -> u32 {
    entries.iter().fold(START, |digest, (at, value)| eat(eat(digest, &key(at)), std::slice::from_ref(value)))
}

fn of_values<V: Pod>(values: &[V]) -> u32 {
    eat(START, values)
}

const START: u32 = 0x811c_9dc5;

/// FNV-1a: short, and the same in every build. It needn't withstand anybody: who can write the maps can write this as well.
fn eat<V: Pod>(digest: u32, values: &[V]) -> u32 {
    // SAFETY: `Pod` promises plain data without padding, and the slice is borrowed for as long.
    let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
    bytes.iter().fold(digest, |digest, byte| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use enforcer_common::PortSet;

    use super::*;

    const PORTS: PortSet = PortSet { first: 0, len: 1 };

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let bank = Bank { pairs: vec![([0, 1, 2], PORTS)], ..Bank::default() };
        let mark = Mark::of(Control::new(0xfff0, 1), &bank);
        let name = mark.name();
        assert_eq!(Mark::parse(&name), Some(mark));
        assert!(name.len() < 255, "{name}");
        for wrong in ["", "looked", "tables-", "tables-1-2", "tables-x", &format!("{name}-1")] {
            assert_eq!(Mark::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_of_keys_and_values_in_one_table() {
        let empty = digests(&Bank::default());
        let with = |pair| digests(&Bank { pairs: vec![(pair, PORTS)], ..Bank::default() });
        let differ = |a: &Digests, b: &Digests| a.iter().zip(b).filter(|(a, b)| a != b).count();
        assert_eq!(differ(&empty, &with([0, 1, 2])), 1);
        assert_eq!(differ(&with([0, 1, 2]), &with([0, 1, 3])), 1);
        let nobody = Bank { subjects: vec![(7, Default::default())], ..Bank::default() };
        assert_eq!(digests(&nobody), empty);
    }
}

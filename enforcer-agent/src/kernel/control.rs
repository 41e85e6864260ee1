//! The word that says which generation is in force.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{Array, IterableMap, MapData};
use enforcer_common::maps::Control;
use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::datapath::{DatapathError, Epoch};

/// The word, and how to write it: through a mapping where the map allows it, which the compiler turns into one store; else with a call.
pub(super) struct ControlWord {
    map: Array<MapData, Control>,
    mapped: Option<&'static AtomicU64>,
    /// Every epoch is above this one.
    above: Epoch,
}

impl ControlWord {
    pub(super) fn new(map: Array<MapData, Control>) -> Result<Self, DatapathError> {
        let fd = map.map().fd().as_fd();
        // SAFETY: a fresh shared mapping of the map's one page, at an address of the kernel's choice.
        let page = unsafe {
            mmap(std::ptr::null_mut(), 4096, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)
        };
        // SAFETY: the page is never unmapped, starts with the one 8-byte value, and the kernel aligns it.
        let mapped = page.ok().map(|page| unsafe { &*page.cast::<AtomicU64>() });
        Ok(Self { map, mapped, above: 0 })
    }

    pub(super) fn read(&self) -> Result<Control, DatapathError> {
        match self.mapped {
            Some(word) => Ok(Control(word.load(Ordering::Acquire))),
            None => self
                .map
                .get(&0, 0)
                .map_err(|error| DatapathError::caused("cannot read the map `CONTROL`", error)),
        }
    }

    /// Another layout has counted as far as `epoch`: flows may stand as judged under it.
    pub(super) fn begin_above(&mut self, epoch: Epoch) {
        self.above = epoch;
    }

    /// Puts bank `bank` in force under the next epoch.
    pub(super) fn advance(&mut self, bank: u32) -> Result<Epoch, DatapathError> {
        let epoch = Control::next(self.read()?.epoch().max(self.above));
        self.write(Control::new(epoch, bank))?;
        // From here on its own count is above, also once it has come round.
        self.above = 0;
        Ok(epoch)
    }

    /// The bank in force was changed, or the one that it may give way to: the next epoch, and otherwise as it was.
    pub(super) fn step(&mut self) -> Result<Epoch, DatapathError> {
        let now = self.read()?;
        let epoch = Control::next(now.epoch().max(self.above));
        let next = Control::new(epoch, now.bank());
        self.write(if now.is_unconfirmed() { next.unconfirmed() } else { next })?;
        self.above = 0;
        Ok(epoch)
    }

    /// Whose cgroups are was changed in place: nothing goes on by what it remembers of that.
    pub(super) fn reown(&mut self) -> Result<(), DatapathError> {
        match self.read()?.reowned() {
            Some(control) => self.write(control),
            None => self.step().map(drop),
        }
    }

    /// Puts bank `bank` in force for as long as its generation says, and the other one afterwards.
    pub(super) fn try_out(&mut self, bank: u32) -> Result<Epoch, DatapathError> {
        let epoch = Control::next(self.read()?.epoch().max(self.above));
        self.write(Control::new(epoch, bank).unconfirmed())?;
        self.above = 0;
        Ok(epoch)
    }

    /// Ends a trial with `bank` in force for good. The epoch after the one in force is passed over: under it, packets may have been
    /// judged by the other bank already.
    pub(super) fn end_trial(&mut self, bank: u32) -> Result<Epoch, DatapathError> {
        let epoch = Control::next(Control::next(self.read()?.epoch()));
        self.write(Control::new(epoch, bank))?;
        Ok(epoch)
    }

    /// Says that the bank in force is being changed in place. Packets take no notice.
    pub(super) fn begin(&mut self) -> Result<(), DatapathError> {
        let now = self.read()?;
        self.write(now.changing())
    }

    /// Puts bank `bank` in force under an epoch that neither `before` nor what stands there now has been.
    pub(super) fn restore(&mut self, before: Control, bank: u32) -> Result<Epoch, DatapathError> {
        let found = self.read()?.epoch();
        // What was judged under a foreign epoch has to be judged anew. The last one is no start to count from.
        let highest = if found == u32::MAX { before.epoch() } else { before.epoch().max(found) };
        // Of a trial, the epoch after its own may have been met as well.
        let epoch = Control::next(Control::next(highest));
        let control = Control::new(epoch, bank);
        self.write(if before.is_unconfirmed() { control.unconfirmed() } else { control })?;
        Ok(epoch)
    }

    fn write(&mut self, control: Control) -> Result<(), DatapathError> {
        match self.mapped {
            Some(word) => word.store(control.0, Ordering::Release),
            None => self
                .map
                .set(0, control, 0)
                .map_err(|error| DatapathError::caused("cannot write the map `CONTROL`", error))?,
        }
        Ok(())
    }
}

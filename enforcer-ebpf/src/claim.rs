//! Room for the verdict on what a process sends.
//!
//! Elsewhere programs run with bottom halves off and one room for each CPU is enough. What a process sends meets its program in the
//! middle of the process: a packet that comes in can interrupt it, and on preemptible kernels another process. So each takes
//! a room of its own for as long as it runs.

use crate::atomic;
use crate::maps::CLAIMED;
use crate::recent::Recent;
use enforcer_common::judge::Scratch;

/// What a program keeps while it judges a packet, and from one packet to the next.
pub(crate) struct Room {
    pub(crate) scratch: Scratch,
    pub(crate) recent: Recent,
}

/// A room, and whether somebody is in it.
#[repr(C)]
pub(crate) struct Claimed {
    busy: u64,
    /// Its number, once somebody has been in it.
    pub(crate) number: u64,
    pub(crate) room: Room,
}

impl Claimed {
    /// Rooms for each CPU: as many programs may have been interrupted there at one moment.
    pub(crate) const SLOTS: u32 = 16;

    /// Takes a free room: nearly always the first, and that without a call.
    #[inline(always)]
    pub(crate) fn take() -> Option<&'static mut Self> {
        match Self::enter(0) {
            Some(room) => Some(room),
            None => Self::take_other(),
        }
    }

    /// A function of its own: what it needs of the stack is free again afterwards.
    #[inline(never)]
    fn take_other() -> Option<&'static mut Self> {
        (1..Self::SLOTS).find_map(Self::enter)
    }

    #[inline(always)]
    fn enter(slot: u32) -> Option<&'static mut Self> {
        let room = CLAIMED.get_ptr_mut(slot)?;
        // SAFETY: map memory outlives the program's run, and it is this CPU's own; whoever is in the room doesn't touch the flag.
        let room = unsafe { &mut *room };
        if atomic::swap(&mut room.busy, 1) == 0 {
            room.number = slot as u64;
            Some(room)
        } else {
            None
        }
    }

    /// Gives it back.
    #[inline(always)]
    pub(crate) fn give_back(&mut self) {
        self.busy = 0;
    }
}

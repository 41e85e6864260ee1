//! What the kernel maps hold. Every type has a fixed layout without padding; keys begin with their bank where a generation owns them.
//!
//! A *generation* is a whole compiled policy set. Two banks hold the one in force and the one being built. [`Control`]
//! names the bank in force; one write to it switches.

use crate::address::Address;

/// Traffic direction as the subject sees it.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The subject sends.
    Egress = 0,
    /// The subject receives.
    Ingress = 1,
}

impl Direction {
    /// As documents and records have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// Which generation is in force: `owners << 40 | epoch << 8 | unconfirmed << 2 | changing << 1 | bank`, one word so that it is read and written whole.
/// The epoch rises with every change of anything a verdict depends on; a flow judged under another epoch is judged again. Under one epoch,
/// `owners` counts how often it was changed whose cgroups are: who remembers that does so for one word.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Control(pub u64);

impl Control {
    const OWNERS: u64 = !0 << 40;

    /// Epoch `epoch` in bank `bank` (0 or 1).
    pub const fn new(epoch: u32, bank: u32) -> Self {
        Self((epoch as u64) << 8 | (bank as u64 & 1))
    }

    /// Counts changes; 0 is "nothing loaded yet", under which everything is denied.
    #[inline(always)]
    pub const fn epoch(self) -> u32 {
        (self.0 >> 8) as u32
    }

    /// 0 or 1.
    #[inline(always)]
    pub const fn bank(self) -> u32 {
        (self.0 & 1) as u32
    }

    /// The same, while the bank in force is being changed in place.
    #[must_use]
    pub const fn changing(self) -> Self {
        Self(self.0 | 2)
    }

    /// Whether the bank in force is being changed in place. Found by a daemon that starts, it says that the last one was
    /// killed at it.
    pub const fn is_changing(self) -> bool {
        self.0 & 2 != 0
    }

    /// The same, in force until [`Generation::until`] and no longer.
    #[must_use]
    pub const fn unconfirmed(self) -> Self {
        Self(self.0 | 4)
    }

    /// Whether the bank in force is so until a deadline only.
    #[inline(always)]
    pub const fn is_unconfirmed(self) -> bool {
        self.0 & 4 != 0
    }

    /// What is in force until that deadline.
    #[inline(always)]
    #[must_use]
    pub const fn meanwhile(self) -> Self {
        Self(self.0 & !6)
    }

    /// What is in force once that deadline has passed: the other bank, under an epoch of its own, so that every flow is judged anew.
    #[inline(always)]
    #[must_use]
    pub const fn fallback(self) -> Self {
        Self(Self::new(Self::next(self.epoch()), self.bank() ^ 1).0 | self.0 & Self::OWNERS)
    }

    /// The same, with cgroups that are somebody else's than before; `None` where the count is at its end, and only the next epoch helps.
    #[must_use]
    pub const fn reowned(self) -> Option<Self> {
        if self.0 & Self::OWNERS == Self::OWNERS { None } else { Some(Self(self.0 + (1 << 40))) }
    }

    /// The epoch after this one; 0 is skipped when the count comes round.
    #[inline(always)]
    pub const fn next(epoch: u32) -> u32 {
        match epoch.wrapping_add(1) {
            0 => 1,
            next => next,
        }
    }
}

/// What an address or a subject is to the rules. The same two class numbers serve as subject and as peer.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct Endpoint {
    /// Identity number, 0 for the world.
    pub identity: u32,
    /// Class among the *narrow* rule sides; 0 where none selects it.
    pub class: u32,
    /// Class among the *broad* rule sides; 0 where none selects it.
    pub coarse: u32,
    /// [`kind`].
    pub kind: u8,
    /// Not zero for an address of this machine's own: who has it is told by sockets as well ([`crate::tables::FamilyTables::resident`]).
    pub local: u8,
    /// Of a local address: among which of the machine's addresses it is, as far as rules tell them apart ([`Subject::at`]).
    pub place: u8,
    /// Zero.
    pub reserved: u8,
    /// Until when `class` and `coarse` hold.
    pub lease: Lease,
}

impl Endpoint {
    /// Known to nobody, selected by nothing.
    pub const NONE: Self = Self::new(0, 0, 0, kind::WORLD);

    /// An endpoint at no address of this machine's.
    #[inline(always)]
    pub const fn new(identity: u32, class: u32, coarse: u32, kind: u8) -> Self {
        Self { identity, class, coarse, kind, local: 0, place: 0, reserved: 0, lease: Lease::NONE }
    }
}

/// How long the classes beside it hold, and those that hold from then on: some of the labels that they are made of have a time to live.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct Lease {
    /// Boot-time clock, nanoseconds; 0 for good.
    pub until: u64,
    /// Narrow class from then on.
    pub class: u32,
    /// Broad class from then on.
    pub coarse: u32,
}

impl Lease {
    /// For good.
    pub const NONE: Self = Self { until: 0, class: 0, coarse: 0 };
}

/// Values of [`Endpoint::kind`].
pub mod kind {
    /// Addresses nothing names.
    pub const WORLD: u8 = 0;
    /// A Workload document, a container, a pod.
    pub const WORKLOAD: u8 = 1;
    /// An AddressGroup document.
    pub const GROUP: u8 = 2;
    /// The machine the daemon runs on.
    pub const HOST: u8 = 3;
    /// A multicast or broadcast destination that a rule names.
    pub const MULTICAST: u8 = 4;
    /// Beside another kind: nobody speaks with it but whom [`super::Quarantine`] names.
    pub const QUARANTINED: u8 = 128;
}

/// Exact address of a bank.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct AddressKey<const N: usize> {
    /// 0 or 1.
    pub bank: u32,
    /// The address.
    pub address: Address<N>,
}

/// Data of a longest-prefix key: the bank's 32 bits come first and always match, so a prefix of length `n` is stored with `32 + n`.
pub type PrefixData<const N: usize> = AddressKey<N>;

/// Key of the pair table.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct PairKey {
    /// `bank << 1 | direction`.
    pub table: u32,
    /// The subject's class number, narrow or broad.
    pub subject: u32,
    /// The peer's class number, narrow or broad.
    pub peer: u32,
}

impl PairKey {
    /// Broad class numbers carry this bit, so that narrow and broad numbers never meet.
    pub const BROAD: u32 = 1 << 31;

    /// The key for these classes.
    #[inline(always)]
    pub const fn new(bank: u32, direction: Direction, subject: u32, peer: u32) -> Self {
        Self { table: bank << 1 | direction as u32, subject, peer }
    }
}

/// What a bank says beside its tables.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Generation {
    /// Addresses of IPv4 that nothing names.
    pub world4: Endpoint,
    /// Addresses of IPv6 that nothing names.
    pub world6: Endpoint,
    /// 127.0.0.0/8, where nothing says more.
    pub loopback4: Endpoint,
    /// `::1`, where nothing says more.
    pub loopback6: Endpoint,
    /// [`Generation::PREFIXES4`] and the like.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// Where the control word says [`Control::is_unconfirmed`]: until when the bank is in force, boot-time clock, nanoseconds.
    pub until: u64,
}

impl Generation {
    /// The bank has IPv4 prefixes.
    pub const PREFIXES4: u32 = 1;
    /// The bank has IPv6 prefixes.
    pub const PREFIXES6: u32 = 2;
    /// Some pair is narrow on the subject's side and on the peer's.
    pub const NARROW_NARROW: u32 = 4;
    /// Some pair is narrow on the subject's side and broad on the peer's.
    pub const NARROW_BROAD: u32 = 8;
    /// Some pair is broad on the subject's side and narrow on the peer's.
    pub const BROAD_NARROW: u32 = 16;
    /// Some pair is broad on both sides.
    pub const BROAD_BROAD: u32 = 32;
}

/// Whose hook this is: by interface index, or by [`Subject::hosted`] number.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Subject {
    /// Identity number; 0 where nothing is known, and then everything is denied.
    pub identity: u32,
    /// [`mode`].
    pub mode: u8,
    /// [`Subject::NO_LINK_HEADER`] and the like.
    pub flags: u8,
    /// Hardware address, where [`Subject::HAS_MAC`].
    pub mac: [u8; 6],
    /// First IPv4 address; all zero for none.
    pub address4: Address<1>,
    /// Narrow class at `address4`.
    pub class4: u32,
    /// Broad class at `address4`.
    pub coarse4: u32,
    /// Narrow class at `address6`.
    pub class6: u32,
    /// Broad class at `address6`.
    pub coarse6: u32,
    /// First IPv6 address; all zero for none.
    pub address6: Address<4>,
    /// Until when `mode`, [`Subject::ANSWERS_DENIED`] and the classes hold, boot-time clock, nanoseconds; 0 for good. What holds from then
    /// on is in the fields below.
    pub until: u64,
    /// For `class4`.
    pub after4: u32,
    /// For `coarse4`.
    pub coarse_after4: u32,
    /// For `class6`.
    pub after6: u32,
    /// For `coarse6`.
    pub coarse_after6: u32,
    /// For `mode`.
    pub mode_after: u8,
    /// For [`Subject::ANSWERS_DENIED`]: that flag or 0.
    pub flags_after: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

impl Subject {
    /// The device carries IP packets without an Ethernet header.
    pub const NO_LINK_HEADER: u8 = 1;
    /// `mac` is known and checked.
    pub const HAS_MAC: u8 = 2;
    /// There are addresses beside `address4` and `address6`: look others up.
    pub const MORE_ADDRESSES: u8 = 4;
    /// Senders of denied packets are told.
    pub const ANSWERS_DENIED: u8 = 8;
    /// Lives on the machine's own addresses, and is known by its cgroup. `address4` and `address6` mean nothing; the classes are those at
    /// the machine's addresses of one place.
    pub const HOSTED: u8 = 16;
    /// The machine itself: all that no workload claims.
    pub const IS_HOST: u8 = 32;
    /// Cut off, as [`Quarantine`] says, whatever `mode` is.
    pub const QUARANTINED: u8 = 64;
    /// Numbers below this stand in an array (two banks each), others in a hash: interface indexes as they are, [`Subject::hosted`]
    /// numbers without their top bit.
    pub const DIRECT: u32 = 65_536;
    /// Nobody.
    pub const NONE: Self = Self {
        identity: 0,
        mode: mode::OFF,
        flags: 0,
        mac: [0; 6],
        address4: [0; 1],
        class4: 0,
        coarse4: 0,
        class6: 0,
        coarse6: 0,
        address6: [0; 4],
        until: 0,
        after4: 0,
        coarse_after4: 0,
        after6: 0,
        coarse_after6: 0,
        mode_after: mode::OFF,
        flags_after: 0,
        reserved: [0; 6],
    };
    /// Top bit of the number of who is known by its cgroup. No interface index has it.
    pub const CGROUP: u32 = 1 << 31;
    /// Identity numbers are below this, so that a place has room beside them.
    pub const IDENTITIES: u32 = 1 << Self::PLACE_SHIFT;
    /// Places are below this.
    pub const PLACES: u32 = 1 << 7;
    const PLACE_SHIFT: u32 = 24;
    /// Who is known by a cgroup that nobody has looked at yet.
    pub const UNKNOWN: u32 = Self::CGROUP;

    /// The number of an identity that is known by its cgroup.
    #[inline(always)]
    pub const fn hosted(identity: u32) -> u32 {
        Self::CGROUP | identity
    }

    /// Where [`Subject::hosted`] number `number` stands at addresses of this place: most sets tell none apart, and have place 0 alone.
    #[inline(always)]
    pub const fn at(number: u32, place: u8) -> u32 {
        number | (place as u32) << Self::PLACE_SHIFT
    }

    /// Whether a hook's number is that of somebody known by a cgroup.
    #[inline(always)]
    pub const fn is_hosted(number: u32) -> bool {
        number & Self::CGROUP != 0
    }
}

/// Key of a cgroup: the kernel's number of it, which it never gives to another one, with the bank in the top bit.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct CgroupKey(pub u64);

impl CgroupKey {
    /// Cgroup `id` in bank 0 or 1.
    #[inline(always)]
    pub const fn new(bank: u32, id: u64) -> Self {
        Self(id | (bank as u64) << 63)
    }

    /// 0 or 1.
    pub const fn bank(self) -> u32 {
        (self.0 >> 63) as u32
    }

    /// The cgroup's number.
    pub const fn id(self) -> u64 {
        self.0 & !(1 << 63)
    }
}

/// Whose a cgroup is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cgroup {
    /// Who its own sockets belong to: [`Subject::hosted`], or [`Subject::UNKNOWN`].
    pub number: u32,
    /// Who those of its descendants belong to that aren't in the table.
    pub below: u32,
}

/// Where a socket was made: its cgroup and those above it. Kept with the socket by the kernel, and held against the tables whenever it is asked whose it is:
/// claims change while sockets live.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Birthplace {
    /// The cgroup's number.
    pub cgroup: u64,
    /// From the root of the hierarchy down, as far as they go; 0 behind the last.
    pub path: [u64; Self::LEVELS],
}

impl Birthplace {
    /// Levels of the hierarchy in which a cgroup that isn't in the tables has an ancestor that is. What lies deeper is like that.
    pub const LEVELS: usize = 16;
}

/// Values of [`Subject::mode`].
pub mod mode {
    /// Nothing is judged.
    pub const OFF: u8 = 0;
    /// Denies are reported and let through.
    pub const AUDIT: u8 = 1;
    /// Denies are denied.
    pub const ENFORCE: u8 = 2;
}

/// Key of a subject whose number is [`Subject::DIRECT`] or above, the top bit left aside.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct SubjectKey {
    /// 0 or 1.
    pub bank: u32,
    /// As the hook has it.
    pub number: u32,
}

/// Key of a quarantine.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct QuarantineKey {
    /// 0 or 1.
    pub bank: u32,
    /// Identity number of who is cut off.
    pub identity: u32,
}

/// How long an identity is cut off, and the one path into it that is left. Who is marked and has no entry is cut off for good.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Quarantine {
    /// Boot-time clock, nanoseconds; `u64::MAX` for until it is released.
    pub deadline: u64,
    /// `protocol << 16 | port` at which it may be reached; 0 for nothing.
    pub port: u32,
    /// How many of `peers` count.
    pub count: u32,
    /// Identities that may reach it there; 0 is the world.
    pub peers: [u32; Self::PEERS],
    /// The address that may, where `family` isn't 0; IPv4 in the first word.
    pub address: [u32; 4],
    /// 4, 6, or 0.
    pub family: u32,
    /// Zero.
    pub reserved: u32,
}

impl Quarantine {
    /// How many identities the one path may be for.
    pub const PEERS: usize = 8;

    /// Until `deadline`, with no path left.
    pub const fn sealed(deadline: u64) -> Self {
        let (peers, address) = ([0; Self::PEERS], [0; 4]);
        Self { deadline, port: 0, count: 0, peers, address, family: 0, reserved: 0 }
    }
}

/// Ports at which the machine itself stays open to a block of addresses, whatever else is in force.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Failsafe {
    /// Any of them may hold.
    pub ranges: [FailsafeRange; Self::RANGES],
}

/// A range of ports.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FailsafeRange {
    /// First `protocol << 16 | port`.
    pub first: u32,
    /// The last one.
    pub last: u32,
    /// Whose port it is: the machine's own where it is 1 (it is reached there), the other end's where it is 0.
    pub ingress: u32,
    /// Zero.
    pub reserved: u32,
}

impl Failsafe {
    /// How many ranges one block may have.
    pub const RANGES: usize = 16;
    /// Nothing is open.
    pub const NONE: Self =
        Self { ranges: [FailsafeRange { first: u32::MAX, last: 0, ingress: 0, reserved: 0 }; Self::RANGES] };
}

/// Counters of one rule, per CPU: packets it decided.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RuleCounter {
    /// Packets whose verdict's cause was this rule.
    pub packets: u64,
    /// Their bytes, link header included.
    pub bytes: u64,
    /// How many of `packets` were reported as `audited`.
    pub audited: u64,
    /// New flows among `packets`.
    pub flows: u64,
}

impl RuleCounter {
    /// Counts what another one has counted as well.
    pub const fn add(&mut self, more: &Self) {
        self.packets = self.packets.wrapping_add(more.packets);
        self.bytes = self.bytes.wrapping_add(more.bytes);
        self.audited = self.audited.wrapping_add(more.audited);
        self.flows = self.flows.wrapping_add(more.flows);
    }

    /// All that was counted for a reason, of counters by [`Tally::slot`].
    pub fn of_reason(verdicts: &[Self], reason: crate::Reason) -> Self {
        let mut sum = Self::default();
        let slots = Tally::all().map(|tally| tally.slot(Some(reason as u32)) as usize);
        slots.filter_map(|slot| verdicts.get(slot)).for_each(|counter| sum.add(counter));
        sum
    }
}

/// Counters of one reason at hooks of one kind, per CPU. The same shape as a rule's.
pub type ReasonCounter = RuleCounter;

/// Which of a cause's counters a packet counts under: how its subject is held, which way it went, and its word. A reason has one
/// counter for each, and so has what rules decided, all of them together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct Tally(u32);

impl Tally {
    const MODES: u32 = 3;
    const WORDS: u32 = 3;
    /// How many there are of one cause.
    pub const EACH: u32 = Self::MODES * 2 * Self::WORDS;
    /// How many counters there are: of every reason, and of the rules.
    pub const COUNT: u32 = (crate::Reason::COUNT as u32 + 1) * Self::EACH;

    /// Counters of a subject in `mode` for packets of this direction with this word.
    #[inline(always)]
    pub const fn new(mode: u8, direction: Direction, word: crate::Word) -> Self {
        Self((mode as u32 * 2 + direction as u32) * Self::WORDS + word as u32)
    }

    /// Every tally.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::EACH).map(Self)
    }

    /// Where a reason's counter is; those of the rules come behind the last reason's.
    #[inline(always)]
    pub const fn slot(self, reason: Option<u32>) -> u32 {
        let row = match reason {
            Some(code) => code,
            None => crate::Reason::COUNT as u32,
        };
        row * Self::EACH + self.0
    }

    /// [`mode`].
    pub const fn mode(self) -> u8 {
        (self.0 / (2 * Self::WORDS)) as u8
    }

    /// Which way the packets went.
    pub const fn direction(self) -> Direction {
        if (self.0 / Self::WORDS).is_multiple_of(2) { Direction::Egress } else { Direction::Ingress }
    }

    /// What was said of them.
    pub const fn word(self) -> crate::Word {
        crate::Word::from_code((self.0 % Self::WORDS) as u8)
    }
}

/// What became of events, per CPU: `sent + lost + suppressed` is how many there were.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EventCounter {
    /// Written to the ring.
    pub sent: u64,
    /// The ring was full.
    pub lost: u64,
    /// Over the rate for denied packets.
    pub suppressed: u64,
    /// Of denied packets reported.
    pub denied: Rate,
    /// When the reader was last woken, coarse monotonic nanoseconds.
    pub woken: u64,
    /// Of ICMP errors to senders of denied packets.
    pub answers: Rate,
}

/// How often something was done in the second that runs, per CPU.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rate {
    /// When that second began, coarse monotonic nanoseconds.
    pub began: u64,
    /// How often since then.
    pub count: u64,
}

impl Rate {
    const SECOND: u64 = 1_000_000_000;

    /// Whether it may be done once more at `now`, and if so counts it.
    #[inline(always)]
    pub const fn take(&mut self, now: u64, most: u64) -> bool {
        if now.wrapping_sub(self.began) >= Self::SECOND {
            *self = Self { began: now, count: 0 };
        }
        let room = self.count < most;
        if room {
            self.count += 1;
        }
        room
    }
}

/// What a subject has opened of late in one direction: a flood finds its bound here before it finds the room of others.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quota {
    /// When the window began, in [`crate::flow::FlowEntry::TICK`]s.
    pub window: u32,
    /// Flows opened in the window that aren't established yet.
    pub unanswered: u32,
    /// Datagrams in parts begun in the window that aren't complete yet.
    pub fragments: u32,
    /// Zero.
    pub reserved: u32,
}

impl Quota {
    /// How many slots there are.
    pub const SLOTS: u32 = 1 << 18;

    /// The slot of hook `number` and the direction in which a flow is opened. Numbers that lie 65,536 apart share one.
    #[inline(always)]
    pub const fn slot(number: u32, opened: Direction) -> u32 {
        (number >> 31) << 17 | (number & 0xffff) << 1 | opened as u32
    }
}

/// Limits that the maps are made with.
pub mod limits {
    /// Cgroups, both banks together.
    pub const CGROUPS: u32 = 131_072;
    /// Sockets that are older than the hooks, when these are attached.
    pub const EARLIER: u32 = 65_536;
    /// Blocks of failsafe paths per family.
    pub const FAILSAFES: u32 = 1_024;
    /// Identities that are cut off, per bank.
    pub const QUARANTINES: u32 = 4_096;
    /// Addresses per family and bank.
    pub const ADDRESSES: u32 = 262_144;
    /// Prefixes per family, both banks together.
    pub const PREFIXES: u32 = 262_144;
    /// Pairs of classes per bank.
    pub const PAIRS: u32 = 1_048_576;
    /// Break points of port sets per bank.
    pub const INTERVALS: u32 = 524_288;
    /// Decisions per bank.
    pub const DECISIONS: u32 = 262_144;
    /// Rules that carry counters.
    pub const RULES: u32 = 65_536;
    /// Established flows per family.
    pub const FLOWS: u32 = 262_144;
    /// New flows per family that nobody has answered yet.
    pub const EMBRYONIC: u32 = 65_536;
    /// Fragmented datagrams under way per family.
    pub const FRAGMENTS: u32 = 8_192;
    /// Ticks in which [`QUOTA_UNANSWERED`] and [`QUOTA_FRAGMENTS`] are counted: 2 s.
    pub const QUOTA_WINDOW: u32 = crate::flow::ticks(2_000_000_000);
    /// Flows that a subject may open in a window, in one direction, without that they become established: a quarter of the room.
    pub const QUOTA_UNANSWERED: u32 = EMBRYONIC / 4;
    /// Datagrams in parts that a subject may begin in a window, in one direction, without that they become whole: a quarter of the room.
    pub const QUOTA_FRAGMENTS: u32 = FRAGMENTS / 4;
    /// Established flows of a subject, opened in one direction, that are kept apart from the unanswered ones: a quarter of the room.
    pub const QUOTA_ESTABLISHED: u32 = FLOWS / 4;
    /// Denied packets reported per CPU and second.
    pub const DENY_EVENTS: u64 = 1_000;
    /// ICMP errors sent per CPU and second to senders of denied packets, as Linux' `icmp_msgs_per_sec`.
    pub const DENY_ANSWERS: u64 = 1_000;
    /// Nanoseconds between two wake-ups of the events' reader by one CPU. Records between them wait for its next look.
    pub const WAKE_INTERVAL: u64 = 8_000_000;
}

const _: () = assert!(size_of::<Endpoint>() == 32);
const _: () = assert!(size_of::<AddressKey<1>>() == 8 && size_of::<AddressKey<4>>() == 20);
const _: () = assert!(size_of::<PairKey>() == 12);
const _: () = assert!(size_of::<Generation>() == 144);
const _: () = assert!(size_of::<Subject>() == 80);
const _: () = assert!(size_of::<CgroupKey>() == 8 && size_of::<Cgroup>() == 8);
const _: () = assert!(size_of::<Birthplace>() == 136);
const _: () = assert!(size_of::<QuarantineKey>() == 8 && size_of::<Quarantine>() == 72);
const _: () = assert!(size_of::<Failsafe>() == 256);
const _: () = assert!(size_of::<RuleCounter>() == 32);
const _: () =
    assert!(Tally::new(mode::ENFORCE, Direction::Ingress, crate::Word::Audited).0 == Tally::EACH - 1);
const _: () = assert!(size_of::<EventCounter>() == 64);
const _: () = assert!(size_of::<Quota>() == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reason, Word};

    #[test]
    fn a_change_of_owners_is_a_word_of_its_own_under_the_same_epoch() {
        let mut control = Control::new(u32::MAX, 1).changing().unconfirmed();
        for _ in 0..1_000 {
            let next = control.reowned().unwrap();
            assert_eq!((next.epoch(), next.bank()), (u32::MAX, 1));
            assert!(next.is_changing() && next.is_unconfirmed());
            // Nor is it lost where what is in force depends on the time.
            assert!(next.0 > control.0);
            assert!(next.meanwhile().0 > control.meanwhile().0 && next.fallback().0 > control.fallback().0);
            control = next;
        }
        assert_eq!((control.meanwhile().epoch(), control.meanwhile().bank()), (u32::MAX, 1));
        assert_eq!((control.fallback().epoch(), control.fallback().bank()), (1, 0));
        assert_eq!(Control(!0 << 40).reowned(), None);
        assert_eq!(Control(!0 << 40).epoch(), 0);
    }

    #[test]
    fn every_cause_has_counters_of_its_own_and_each_says_what_it_counts() {
        let reasons = Reason::ALL.iter().map(|reason| Some(*reason as u32)).chain([None]);
        let slots = reasons.flat_map(|reason| Tally::all().map(move |tally| tally.slot(reason)));
        assert!(slots.eq(0..Tally::COUNT));
        for mode in [mode::OFF, mode::AUDIT, mode::ENFORCE] {
            for direction in [Direction::Egress, Direction::Ingress] {
                for word in [Word::Allowed, Word::Denied, Word::Audited] {
                    let tally = Tally::new(mode, direction, word);
                    assert_eq!((tally.mode(), tally.direction(), tally.word()), (mode, direction, word));
                }
            }
        }
    }
}

#[cfg(feature = "aya")]
mod pod {
    //! Everything here is `repr(C)`, without padding, and valid for any bits.
    use super::*;
    use crate::answer::{Decision, Interval, PortSet};
    use crate::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey};

    macro_rules! pod {
        ($($kind:ty),* $(,)?) => {
            $(
                // SAFETY: `repr(C)` integers only, sizes asserted above: no padding, any bits are a value.
                unsafe impl aya::Pod for $kind {}
            )*
        };
    }

    pod!(
        Control,
        Endpoint,
        AddressKey<1>,
        AddressKey<4>,
        PairKey,
        Generation,
        Subject,
        SubjectKey,
        CgroupKey,
        Cgroup,
        Birthplace,
        QuarantineKey,
        Quarantine,
        Failsafe,
        RuleCounter
    );
    pod!(EventCounter, Quota, Decision, Interval, PortSet, FlowEntry, FlowKey<1>, FlowKey<4>, FragmentEntry);
    pod!(FragmentKey<1>, FragmentKey<4>);
}

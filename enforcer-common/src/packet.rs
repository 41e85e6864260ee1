//! Reading a packet, wherever it is.

pub use crate::parse::{Chain, Options, flags, options, walk};

/// Plain old data that may be read from any bytes.
///
/// # Safety
///
/// Every bit pattern must be a value of the type.
pub unsafe trait Wire: Copy {}

// SAFETY: integers and arrays of them take any bits.
unsafe impl Wire for u8 {}
// SAFETY: as above.
unsafe impl Wire for u16 {}
// SAFETY: as above.
unsafe impl Wire for u32 {}
// SAFETY: as above.
unsafe impl<T: Wire, const N: usize> Wire for [T; N] {}

/// A packet: the frame from its first byte.
pub trait Packet {
    /// Where the network header usually is. What stands behind it is then read at offsets that the compiler knows, which is a third of the cost.
    const NETWORK: usize = 14;

    /// Length of the frame; of all segments together for an aggregated one.
    fn len(&self) -> u32;

    /// Whether there is nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes at an offset the compiler knows; `None` past the end.
    fn fixed<T: Wire>(&self, offset: usize) -> Option<T>;

    /// Bytes at an offset found in the packet; `None` past the end.
    fn at<T: Wire>(&self, offset: u32) -> Option<T>;

    /// Walks IPv6 extension headers: `first` stands at `start`, and the packet ends at `end`. What [`walk`] does; the kernel's packets
    /// wrap it in a function of its own, which the verifier walks once.
    #[inline(always)]
    fn chain(&self, first: u8, start: u32, end: u32) -> Chain
    where
        Self: Sized,
    {
        walk(self, first, start, end)
    }

    /// Looks through the options of an IPv4 header. What [`options`] does; wrapped like [`Packet::chain`].
    #[inline(always)]
    fn options(&self, start: u32, end: u32) -> Options
    where
        Self: Sized,
    {
        options(self, start, end)
    }

    /// A VLAN tag that the device has taken off the frame.
    fn vlan(&self) -> Option<Tag>;
}

/// A VLAN tag beside a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// Which kind of tag: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub ethertype: u16,
    /// Priority, drop bit and VLAN.
    pub control: u16,
}

/// A frame in memory.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// A VLAN tag taken off by the device.
    pub vlan: Option<Tag>,
}

#[cfg(feature = "std")]
impl<'a> Frame<'a> {
    /// A frame as captured.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, vlan: None }
    }
}

#[cfg(feature = "std")]
impl Packet for Frame<'_> {
    fn len(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn fixed<T: Wire>(&self, offset: usize) -> Option<T> {
        let bytes = self.bytes.get(offset..offset.checked_add(size_of::<T>())?)?;
        // SAFETY: the slice is `size_of::<T>()` long and `Wire` takes any bits; the read needs no alignment.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn at<T: Wire>(&self, offset: u32) -> Option<T> {
        self.fixed(offset as usize)
    }

    fn vlan(&self) -> Option<Tag> {
        self.vlan
    }
}

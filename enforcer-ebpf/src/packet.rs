//! A socket buffer as the verdict function reads it.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_skb_load_bytes;
use core::mem::MaybeUninit;
use enforcer_common::packet::{Chain, Options, Packet, Tag, Wire, options, walk};

/// With Ethernet's header usually before the network's, or, at sockets, with none.
pub(crate) struct Skb<const NETWORK: usize> {
    skb: *mut __sk_buff,
}

/// As devices have it.
pub(crate) type Framed = Skb<14>;
/// As sockets have it.
pub(crate) type Bare = Skb<0>;

impl<const NETWORK: usize> Skb<NETWORK> {
    #[inline(always)]
    pub(crate) const fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    /// Index of the device whose hook this is.
    #[inline(always)]
    pub(crate) fn interface(&self) -> u32 {
        // SAFETY: the kernel hands programs a valid context.
        unsafe { (*self.skb).ifindex }
    }
}

/// The walk along IPv6 extension headers. A global function, as `enforcer_port_decision` is, and for its reason.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn enforcer_extensions(skb: *mut __sk_buff, first: u32, start: u32, end: u32) -> u64 {
    walk(&Framed { skb }, first as u8, start, end).0
}

/// The look through an IPv4 header's options. Likewise.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn enforcer_options(skb: *mut __sk_buff, start: u32, end: u32) -> u64 {
    options(&Framed { skb }, start, end).0
}

impl<const AT: usize> Packet for Skb<AT> {
    const NETWORK: usize = AT;

    #[inline(always)]
    fn chain(&self, first: u8, start: u32, end: u32) -> Chain {
        Chain(enforcer_extensions(self.skb, first as u32, start, end))
    }

    #[inline(always)]
    fn options(&self, start: u32, end: u32) -> Options {
        Options(enforcer_options(self.skb, start, end))
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.skb).len }
    }

    /// Reads the linear part directly. What isn't linear is copied out instead of pulled in: `bpf_skb_pull_data` can panic kernels
    /// before 6.16 on a UDP GSO fragment list.
    #[inline(always)]
    fn fixed<T: Wire>(&self, offset: usize) -> Option<T> {
        // SAFETY: as above.
        let (data, end) = unsafe { ((*self.skb).data as usize, (*self.skb).data_end as usize) };
        if data + offset + size_of::<T>() <= end {
            // SAFETY: inside the linear part, as the verifier checks too; `Wire` takes any bits. The packet may lie at any address:
            // an unaligned read would be made of bytes here, while the kernel takes whole words from a packet wherever
            // the machine does, and refuses the program (it doesn't misread) where the machine doesn't.
            return Some(unsafe { ((data + offset) as *const T).read() });
        }
        self.at(offset as u32)
    }

    #[inline(always)]
    fn at<T: Wire>(&self, offset: u32) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the buffer is as long as stated. The helper fills it whole where it returns 0.
        unsafe {
            let to = value.as_mut_ptr().cast();
            match bpf_skb_load_bytes(self.skb.cast(), offset, to, size_of::<T>() as u32) {
                0 => Some(value.assume_init()),
                _ => None,
            }
        }
    }

    #[inline(always)]
    fn vlan(&self) -> Option<Tag> {
        // SAFETY: as above.
        let (present, ethertype, control) =
            unsafe { ((*self.skb).vlan_present, (*self.skb).vlan_proto, (*self.skb).vlan_tci) };
        let tag = Tag { ethertype: u16::from_be(ethertype as u16), control: control as u16 };
        if present != 0 { Some(tag) } else { None }
    }
}

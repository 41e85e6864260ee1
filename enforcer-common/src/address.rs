//! Addresses as the maps hold them, and what kind of address one is.
//!
//! An IPv4 address is one word, an IPv6 address four, each with its bytes in network order in memory, so that a
//! map key has the same bytes on every machine and needs no swapping on the packet path.

/// `[u32; 1]` for IPv4, `[u32; 4]` for IPv6.
pub type Address<const N: usize> = [u32; N];

/// IPv4 octets as a key.
#[inline(always)]
pub const fn v4(octets: [u8; 4]) -> Address<1> {
    [u32::from_ne_bytes(octets)]
}

/// IPv6 octets as a key.
#[inline(always)]
pub const fn v6(o: [u8; 16]) -> Address<4> {
    [
        u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
        u32::from_ne_bytes([o[4], o[5], o[6], o[7]]),
        u32::from_ne_bytes([o[8], o[9], o[10], o[11]]),
        u32::from_ne_bytes([o[12], o[13], o[14], o[15]]),
    ]
}

const fn host_order(word: u32) -> u32 {
    u32::from_be(word)
}

/// A group address: 224.0.0.0/4 (RFC 5771), ff00::/8 (RFC 4291, 2.7), and limited broadcast 255.255.255.255.
#[inline(always)]
pub const fn is_multicast<const N: usize>(a: &Address<N>) -> bool {
    let first = host_order(a[0]);
    if N == 1 { first >> 28 == 0xe || first == u32::MAX } else { first >> 24 == 0xff }
}

/// Addresses that never stand on a wire as a source or unicast destination: 0.0.0.0/8 and 127.0.0.0/8 (RFC 6890);
/// `::`, `::1`, IPv4-compatible and IPv4-mapped (RFC 4291, 2.5). Multicast is told by [`is_multicast`].
#[inline(always)]
pub const fn is_martian<const N: usize>(a: &Address<N>) -> bool {
    let first = host_order(a[0]);
    if N == 1 {
        let net = first >> 24;
        net == 0 || net == 127
    } else {
        // `::/96` and `::ffff:0:0/96`: unspecified, loopback, IPv4-compatible (deprecated) and IPv4-mapped.
        let third = host_order(a[N - 2]);
        a[0] == 0 && a[1 % N] == 0 && (third == 0 || third == 0xffff)
    }
}

/// 127.0.0.0/8 (RFC 1122, 3.2.1.3) and `::1` (RFC 4291, 2.5.3): a machine to itself.
#[inline(always)]
pub const fn is_loopback<const N: usize>(a: &Address<N>) -> bool {
    if N == 1 {
        host_order(a[0]) >> 24 == 127
    } else {
        a[0] == 0 && a[1 % N] == 0 && a[2 % N] == 0 && host_order(a[N - 1]) == 1
    }
}

/// IPv6 link-local unicast, fe80::/10. IPv4's 169.254/16 is an ordinary address here: only rules can name it.
#[inline(always)]
pub const fn is_link_local<const N: usize>(a: &Address<N>) -> bool {
    N == 4 && host_order(a[0]) >> 22 == 0x3fa
}

/// Sixteen bytes for records: IPv6 as it is, IPv4 in the first four.
#[inline(always)]
pub fn record<const N: usize>(a: &Address<N>) -> [u32; 4] {
    if N == 1 { [a[0], 0, 0, 0] } else { [a[0], a[1 % N], a[2 % N], a[3 % N]] }
}

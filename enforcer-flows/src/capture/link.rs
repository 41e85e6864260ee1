//! Numbers of link types in capture files.

use crate::item::Link;

/// What the packets of link type `number` begin with, where that is known.
pub(super) const fn link(number: u16) -> Option<Link> {
    match number {
        0 | 108 => Some(Link::Loopback),
        1 => Some(Link::Ethernet),
        // 12 and 14 are what some systems wrote for 101.
        12 | 14 | 101 | 228 | 229 => Some(Link::Raw),
        113 => Some(Link::Cooked1),
        276 => Some(Link::Cooked2),
        _ => None,
    }
}

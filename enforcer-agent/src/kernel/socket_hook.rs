//! The hooks at the sockets of a cgroup: two judge packets, three note where sockets are made.

use enforcer_common::maps::Direction;

use crate::datapath::Place;

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SocketHook {
    /// Packets, as the sockets see them.
    Packets(Direction),
    /// A socket is made.
    Made,
    /// A socket is bound to an IPv4 address.
    Bound4,
    /// The same for IPv6.
    Bound6,
}

impl SocketHook {
    /// Those that note come first: who is judged is known to others by then.
    pub(super) const ALL: [Self; 5] = [
        Self::Made,
        Self::Bound4,
        Self::Bound6,
        Self::Packets(Direction::Egress),
        Self::Packets(Direction::Ingress),
    ];

    /// As pins and records have it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Packets(direction) => direction.word(),
            Self::Made => "made",
            Self::Bound4 => "bound4",
            Self::Bound6 => "bound6",
        }
    }

    /// Its program, as the object has it.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Packets(Direction::Egress) => "enforcer_socket_egress",
            Self::Packets(Direction::Ingress) => "enforcer_socket_ingress",
            Self::Made => "enforcer_socket_made",
            Self::Bound4 => "enforcer_socket_bound4",
            Self::Bound6 => "enforcer_socket_bound6",
        }
    }

    /// `enum bpf_attach_type` of linux/bpf.h.
    pub(super) const fn attach_type(self) -> u32 {
        match self {
            Self::Packets(Direction::Ingress) => 0,
            Self::Packets(Direction::Egress) => 1,
            Self::Made => 2,
            Self::Bound4 => 12,
            Self::Bound6 => 13,
        }
    }

    /// Whether it notes where sockets are made.
    pub(super) const fn notes(self) -> bool {
        !matches!(self, Self::Packets(_))
    }

    /// As faults name it.
    pub(super) const fn place(self) -> Place {
        match self {
            Self::Packets(direction) => Place::Sockets { direction },
            Self::Made | Self::Bound4 | Self::Bound6 => Place::Birthplaces(self.word()),
        }
    }
}

//! What security groups let pass, rule by rule. Shares nothing with the importer.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Entries of the one prefix list.
pub(crate) const LIST: [&str; 2] = ["192.0.2.0/24", "10.0.0.2/32"];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Vpc {
    pub(crate) groups: Vec<Group>,
    pub(crate) members: Vec<Member>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) ingress: Vec<Rule>,
    pub(crate) egress: Vec<Rule>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) groups: Vec<usize>,
    pub(crate) addresses: Vec<IpAddr>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) protocol: String,
    /// Ports, or type and code.
    pub(crate) ports: Option<(i32, i32)>,
    pub(crate) peers: Vec<Peer>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Peer {
    Block(String),
    List,
    Group(usize),
}

impl Vpc {
    pub(crate) fn member(&self, address: IpAddr) -> Option<&Member> {
        self.members.iter().find(|member| member.addresses.contains(&address))
    }

    /// Groups at both ends have to allow it; who is in none allows everything.
    pub(crate) fn allows(&self, from: IpAddr, to: IpAddr, protocol: u8, port: u16) -> bool {
        self.end(from, to, protocol, port, false) && self.end(to, from, protocol, port, true)
    }

    fn end(&self, own: IpAddr, peer: IpAddr, protocol: u8, port: u16, ingress: bool) -> bool {
        let Some(member) = self.member(own) else { return true };
        for group in &member.groups {
            let group = &self.groups[*group];
            for rule in if ingress { &group.ingress } else { &group.egress } {
                let named = rule.peers.iter().any(|one| match one {
                    Peer::Block(block) => block.parse::<IpNet>().unwrap().contains(&peer),
                    Peer::List => LIST.iter().any(|block| block.parse::<IpNet>().unwrap().contains(&peer)),
                    Peer::Group(group) => self.member(peer).is_some_and(|peer| peer.groups.contains(group)),
                });
                if named && matches(rule, protocol, port) {
                    return true;
                }
            }
        }
        false
    }
}

fn matches(rule: &Rule, protocol: u8, port: u16) -> bool {
    let number = match rule.protocol.as_str() {
        "-1" => return true,
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" => 58,
        other => other.parse().unwrap(),
    };
    let (first, last) = rule.ports.unwrap_or((-1, -1));
    if number != protocol {
        return false;
    }
    match protocol {
        6 | 17 => first == -1 || (first..=last).contains(&i32::from(port)),
        1 | 58 => {
            let (kind, code) = (i32::from(port >> 8), i32::from(port & 255));
            (first == -1 || first == kind) && (last == -1 || last == code)
        }
        _ => true,
    }
}

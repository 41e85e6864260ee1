//! What the rules alone say of a flow, before modes and state.

use super::{Cause, End, Identity, Reason, Verdict, Word, World, selects};
use crate::model::{Action, FlowEntry, FlowPolicy, PolicyMode, PortSpec, Tier};
use std::fmt;

/// Protocols that carry another flow inside: `any` doesn't mean them.
pub const TUNNEL_PROTOCOLS: [u8; 7] = [4, 41, 47, 94, 97, 115, 137];

/// UDP destinations of VXLAN (two) and Geneve.
pub const TUNNEL_PORTS: [u16; 3] = [4789, 8472, 6081];

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// One `flows` entry of one policy.
#[derive(Clone, Copy, Debug)]
pub struct RuleRef<'a> {
    /// The policy.
    pub policy: &'a FlowPolicy,
    /// Which of its `flows` entries, from 0.
    pub index: usize,
}

impl<'a> RuleRef<'a> {
    /// The entry itself, with its origin.
    pub fn entry(&self) -> &'a FlowEntry {
        &self.policy.flows[self.index]
    }
}

impl PartialEq for RuleRef<'_> {
    /// Policy names are unique in a set.
    fn eq(&self, other: &Self) -> bool {
        self.policy.name == other.policy.name && self.index == other.index
    }
}

impl Eq for RuleRef<'_> {}

impl fmt::Display for RuleRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.policy.name, self.index)
    }
}

/// What the rules say of one flow.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleAnswer<'a> {
    /// The deciding rule without policies in `mode: audit`.
    pub enforced: Option<RuleRef<'a>>,
    /// The deciding rule with them.
    pub full: Option<RuleRef<'a>>,
    /// Both answers taken together.
    pub verdict: Verdict<'a>,
}

/// Whether a `ports` entry means this protocol and port.
pub fn port_matches(spec: &PortSpec, protocol: u8, port: u16) -> bool {
    match *spec {
        PortSpec::Any => !TUNNEL_PROTOCOLS.contains(&protocol),
        PortSpec::Protocol(wanted) => protocol == wanted,
        PortSpec::Ports { protocol: wanted, first, last } => {
            protocol == wanted && first <= port && port <= last
        }
        PortSpec::Icmp { protocol: wanted, kind, code } => {
            let [got_kind, got_code] = port.to_be_bytes();
            protocol == wanted && got_kind == kind && code.is_none_or(|code| code == got_code)
        }
    }
}

/// Whether this ICMP or ICMPv6 type reports an error about another packet, redirects aside: unreachable, source quench, time
/// exceeded and parameter problem (RFC 1122, 3.2.2; RFC 4443, 3). ICMPv6 types that nobody has defined are messages like any other.
pub(super) fn is_icmp_error(protocol: u8, kind: u8) -> bool {
    match protocol {
        ICMP => matches!(kind, 3 | 4 | 11 | 12),
        ICMPV6 => matches!(kind, 1..=4),
        _ => false,
    }
}

fn allows(rule: Option<RuleRef<'_>>) -> bool {
    rule.is_some_and(|rule| rule.entry().action == Action::Allow)
}

/// The reason where no rule decides.
fn undecided(to: &End<'_>, protocol: u8, port: u16) -> Reason {
    if to.identity == Identity::Multicast {
        Reason::Multicast
    } else if TUNNEL_PROTOCOLS.contains(&protocol) || (protocol == UDP && TUNNEL_PORTS.contains(&port)) {
        Reason::Encap
    } else if ![TCP, UDP, ICMP, ICMPV6].contains(&protocol) {
        Reason::Proto
    } else if is_icmp_error(protocol, port.to_be_bytes()[0]) {
        Reason::RelatedUnknown
    } else {
        Reason::NoRule
    }
}

impl<'a> World<'a> {
    /// What the rules say of a flow that `from` opens to `to`. `port` is the destination port, `type * 256 + code`
    /// for ICMP and ICMPv6, 0 for protocols without ports.
    pub fn decide(&self, from: &End<'_>, to: &End<'_>, protocol: u8, port: u16) -> RuleAnswer<'a> {
        let enforced = self.deciding_rule(from, to, protocol, port, false);
        let full = self.deciding_rule(from, to, protocol, port, true);
        let passes = allows(enforced);
        let cause = |rule: Option<RuleRef<'a>>| match rule {
            Some(rule) => Cause::Rule(rule),
            None => Cause::Reason(undecided(to, protocol, port)),
        };
        let verdict = if allows(full) != passes {
            Verdict { word: Word::Audited, passes, cause: cause(full) }
        } else {
            let word = if passes { Word::Allowed } else { Word::Denied };
            Verdict { word, passes, cause: cause(enforced) }
        };
        RuleAnswer { enforced, full, verdict }
    }

    fn deciding_rule(
        &self,
        from: &End<'_>,
        to: &End<'_>,
        protocol: u8,
        port: u16,
        with_audit: bool,
    ) -> Option<RuleRef<'a>> {
        for tier in [Tier::Guardrail, Tier::Application, Tier::Baseline] {
            for action in [Action::Deny, Action::Allow] {
                for policy in &self.set.policies {
                    let in_force = with_audit || policy.mode == PolicyMode::Enforce;
                    let alive = policy.expires.is_none_or(|expires| self.now < expires);
                    if policy.tier != tier || !in_force || !alive {
                        continue;
                    }
                    for (index, entry) in policy.flows.iter().enumerate() {
                        if entry.action == action
                            && selects(&entry.from, from, self.now)
                            && selects(&entry.to, to, self.now)
                            && entry.ports.iter().any(|spec| port_matches(spec, protocol, port))
                        {
                            return Some(RuleRef { policy, index });
                        }
                    }
                }
            }
        }
        None
    }
}

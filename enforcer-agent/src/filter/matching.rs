//! One test of a filter: how it is read, and which records it matches.

use super::{FilterError, Kind};
use crate::protocol::{CauseRecord, End, FlowRecord, Icmp};
use crate::selection;
use enforcer_common::Reason;
use enforcer_policy::diagnostic::{nearest, shown};
use enforcer_policy::model::{Endpoint, PortSpec};
use ipnet::IpNet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Characters of a name. Those of documents are shorter.
const LONGEST: usize = 512;

/// What one test compares with.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Word(String),
    End(Endpoint),
    Ports(Ports),
    Block(IpNet),
}

/// Protocol, ports of either end, ICMP message: what is `None` is any.
#[derive(Debug, Clone, Default, PartialEq)]
struct Ports {
    protocol: Option<String>,
    ports: Option<RangeInclusive<u16>>,
    message: Option<(u8, Option<u8>)>,
}

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub(super) kind: Kind,
    /// Whether it takes away what it matches.
    pub(super) not: bool,
    /// As it was written.
    pub(super) text: String,
    wanted: Wanted,
}

impl Test {
    /// Reads a test of this kind.
    pub fn parse(kind: Kind, not: bool, text: &str) -> Result<Self, FilterError> {
        let wanted = match kind {
            Kind::Verdict | Kind::Direction => {
                if !kind.words().contains(&text) {
                    let known: Vec<String> = kind.words().iter().map(|word| format!("`{word}`")).collect();
                    return Err(FilterError::new(
                        format!("`{}` is no {}", shown(text), kind.word()),
                        format!("known: {}", known.join(", ")),
                    ));
                }
                Wanted::Word(text.to_owned())
            }
            Kind::Identity | Kind::From | Kind::To => Wanted::End(
                selection::parse(text).map_err(|error| FilterError::new(error.to_string(), error.help()))?,
            ),
            Kind::Workload | Kind::Rule => {
                if text.is_empty() || text.len() > LONGEST {
                    let message = format!("`{}` is no name for a {}", shown(text), kind.word());
                    return Err(FilterError::new(message, "for example `web`, or `shop#0` for a rule"));
                }
                Wanted::Word(text.to_owned())
            }
            Kind::Reason => Wanted::Word(reason(text)?),
            Kind::Port => Wanted::Ports(ports(text)?),
            Kind::Cidr => Wanted::Block(block(text)?),
        };
        Ok(Self { kind, not, text: text.to_owned(), wanted })
    }

    /// Whether it matches a record, whatever `not` says.
    pub(super) fn matches(&self, record: &FlowRecord) -> bool {
        let either = |test: &dyn Fn(&End) -> bool| test(&record.source) || test(&record.destination);
        match (&self.wanted, self.kind) {
            (Wanted::Word(word), Kind::Verdict) => record.verdict == *word,
            (Wanted::Word(word), Kind::Direction) => record.direction == *word,
            (Wanted::Word(word), Kind::Workload) => either(&|end| end.workload.as_ref() == Some(word)),
            (Wanted::Word(_), _) => self.matches_cause(&record.cause),
            (Wanted::End(wanted), Kind::From) => is_end(wanted, &record.source),
            (Wanted::End(wanted), Kind::To) => is_end(wanted, &record.destination),
            (Wanted::End(wanted), _) => either(&|end| is_end(wanted, end)),
            (Wanted::Block(block), _) => either(&|end| end.ip.is_some_and(|ip| block.contains(&ip))),
            (Wanted::Ports(wanted), _) => wanted.has(record),
        }
    }

    /// Whether it matches why something was decided: the rule, or any of its policy, or the reason, or its finer name.
    pub(super) fn matches_cause(&self, cause: &CauseRecord) -> bool {
        let Wanted::Word(word) = &self.wanted else { return false };
        if self.kind == Kind::Reason {
            return cause.reason.as_ref() == Some(word) || cause.detail.as_ref() == Some(word);
        }
        let of_policy = |rule: &str| rule.rsplit_once('#').is_some_and(|(policy, _)| policy == word.as_str());
        cause.rule.as_ref().is_some_and(|rule| rule == word || of_policy(rule))
    }
}

/// A reason that there is: a slip of the pen would match nothing, without a word.
fn reason(text: &str) -> Result<String, FilterError> {
    let known = || Reason::ALL.iter().flat_map(|reason| [reason.word(), reason.detail()]);
    if known().any(|word| word == text) {
        return Ok(text.to_owned());
    }
    let mut near: Vec<String> = nearest(text, known(), 6).iter().map(|word| format!("`{word}`")).collect();
    // Most reasons have no finer name than their own.
    near.dedup();
    let help = match near.as_slice() {
        [] => "for example `no-rule` or `spoofed-source`".to_owned(),
        near => format!("near it: {}", near.join(", ")),
    };
    Err(FilterError::new(format!("`{}` is no reason", shown(text)), help))
}

/// `tcp/5432`, `udp/8000-8100`, `icmp/echo-request`, `tcp`; or ports alone, of any protocol.
fn ports(text: &str) -> Result<Ports, FilterError> {
    let bare = match text.split_once('-') {
        Some((first, last)) => first.parse().ok().zip(last.parse().ok()),
        None => text.parse().ok().map(|port: u16| (port, port)),
    };
    if let Some((first, last)) = bare.filter(|(first, last)| first <= last) {
        return Ok(Ports { ports: Some(first..=last), ..Ports::default() });
    }
    let named = |number| Some(PortSpec::Protocol(number).to_string());
    match text.parse::<PortSpec>().map_err(|error| FilterError::new(error.message, error.help))? {
        PortSpec::Any => Ok(Ports::default()),
        PortSpec::Protocol(number) => Ok(Ports { protocol: named(number), ..Ports::default() }),
        PortSpec::Ports { protocol, first, last } => {
            Ok(Ports { protocol: named(protocol), ports: Some(first..=last), message: None })
        }
        PortSpec::Icmp { protocol, kind, code } => {
            Ok(Ports { protocol: named(protocol), ports: None, message: Some((kind, code)) })
        }
    }
}

impl Ports {
    fn has(&self, record: &FlowRecord) -> bool {
        let within = |ports: &RangeInclusive<u16>| {
            [record.source.port, record.destination.port].iter().flatten().any(|port| ports.contains(port))
        };
        let is = |(kind, code): (u8, Option<u8>)| {
            let same = |icmp: Icmp| icmp.kind == kind && code.is_none_or(|code| icmp.code == code);
            record.icmp.is_some_and(same)
        };
        self.protocol.as_ref().is_none_or(|protocol| record.protocol.as_ref() == Some(protocol))
            && self.ports.as_ref().is_none_or(within)
            && self.message.is_none_or(is)
    }
}

/// A block, or one address.
fn block(text: &str) -> Result<IpNet, FilterError> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(address).ok_or_else(|| {
        FilterError::new(
            format!("`{}` is not a CIDR block", shown(text)),
            "for example `10.0.0.0/8` or `fd00::/8`",
        )
    })
}

/// Whether an end is the one that a `SEL` names: it carries these labels, has this address or this name.
fn is_end(wanted: &Endpoint, end: &End) -> bool {
    match wanted {
        Endpoint::Labels(labels) => labels.iter().all(|(key, value)| end.labels.get(key) == Some(value)),
        Endpoint::Address(address) => end.ip == Some(*address),
        Endpoint::Entity(entity) => end.entity.as_deref() == Some(entity.word()),
        Endpoint::Workload(name) => end.workload.as_ref() == Some(name) || end.group.as_ref() == Some(name),
    }
}

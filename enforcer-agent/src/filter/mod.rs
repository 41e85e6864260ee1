//! Which records somebody wants to see: what `observe` and `top` take, what the control socket is asked for, and what it does with it.
//!
//! Several tests of one kind are "any of them", kinds are "all of them", and a test behind `not` takes away what it matches.

mod arguments;
mod query;

pub use arguments::FilterArgs;

use crate::protocol::{End, FlowRecord, TamperRecord};
use crate::selection;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::{Endpoint, PortSpec};
use ipnet::IpNet;
use std::fmt;

/// Tests of one request.
const MOST: usize = 256;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `allowed`, `denied` or `audited`.
    Verdict,
    /// An end, as `explain` names them.
    Identity,
    /// Who sent the packet.
    From,
    /// Whom it was sent to.
    To,
    /// An end, by its workload's name.
    Workload,
    /// The rule that decided.
    Rule,
    /// The reason where none did.
    Reason,
    /// Protocol and port.
    Port,
    /// `egress` or `ingress`.
    Direction,
    /// An end's address.
    Cidr,
}

impl Kind {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 10] = [
        Self::Verdict,
        Self::Identity,
        Self::From,
        Self::To,
        Self::Workload,
        Self::Rule,
        Self::Reason,
        Self::Port,
        Self::Direction,
        Self::Cidr,
    ];

    /// The flag's name, and the query's.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Identity => "identity",
            Self::From => "from",
            Self::To => "to",
            Self::Workload => "workload",
            Self::Rule => "rule",
            Self::Reason => "reason",
            Self::Port => "port",
            Self::Direction => "direction",
            Self::Cidr => "cidr",
        }
    }
}

/// Why a test can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    message: String,
    help: String,
}

impl FilterError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    /// The way out.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

/// What one test compares with.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Word(String),
    End(Endpoint),
    Port(Option<PortSpec>, u16, u16),
    Cidr(IpNet),
}

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    kind: Kind,
    not: bool,
    text: String,
    wanted: Wanted,
}

impl Test {
    /// Reads a test of this kind.
    pub fn parse(kind: Kind, not: bool, text: &str) -> Result<Self, FilterError> {
        let words = |words: &[&str]| match words.contains(&text) {
            true => Ok(Wanted::Word(text.to_owned())),
            false => {
                let known: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                let message = format!("`{}` is no {}", shown(text), kind.word());
                Err(FilterError::new(message, format!("known: {}", known.join(", "))))
            }
        };
        let wanted = match kind {
            Kind::Verdict => words(&["allowed", "denied", "audited"])?,
            Kind::Direction => words(&["egress", "ingress"])?,
            Kind::Identity | Kind::From | Kind::To => Wanted::End(
                selection::parse(text).map_err(|error| FilterError::new(error.to_string(), error.help()))?,
            ),
            Kind::Workload | Kind::Rule | Kind::Reason => {
                if text.is_empty() || text.len() > 512 {
                    let message = format!("`{}` is no name for a {}", shown(text), kind.word());
                    return Err(FilterError::new(message, "for example `web`, `shop#0` or `no-rule`"));
                }
                Wanted::Word(text.to_owned())
            }
            Kind::Port => port(text)?,
            Kind::Cidr => Wanted::Cidr(cidr(text)?),
        };
        Ok(Self { kind, not, text: text.to_owned(), wanted })
    }

    fn matches(&self, record: &FlowRecord) -> bool {
        let either = |test: &dyn Fn(&End) -> bool| test(&record.source) || test(&record.destination);
        match (&self.wanted, self.kind) {
            (Wanted::Word(word), Kind::Verdict) => record.verdict == *word,
            (Wanted::Word(word), Kind::Direction) => record.direction == *word,
            (Wanted::Word(word), Kind::Workload) => either(&|end| end.workload.as_ref() == Some(word)),
            (Wanted::Word(word), Kind::Rule) => record.cause.rule.as_ref().is_some_and(|rule| {
                rule == word || rule.rsplit_once('#').is_some_and(|(policy, _)| policy == word)
            }),
            (Wanted::Word(word), _) => {
                record.cause.reason.as_ref() == Some(word) || record.cause.detail.as_ref() == Some(word)
            }
            (Wanted::End(wanted), Kind::From) => is_end(wanted, &record.source),
            (Wanted::End(wanted), Kind::To) => is_end(wanted, &record.destination),
            (Wanted::End(wanted), _) => either(&|end| is_end(wanted, end)),
            (Wanted::Cidr(block), _) => either(&|end| end.ip.is_some_and(|ip| block.contains(&ip))),
            (Wanted::Port(spec, first, last), _) => has_port(record, spec.as_ref(), *first, *last),
        }
    }
}

/// `tcp/5432`, `udp/8000-8100`, `icmp/echo-request`, `tcp`; or ports alone, of any protocol.
fn port(text: &str) -> Result<Wanted, FilterError> {
    let numbers = match text.split_once('-') {
        Some((first, last)) => first.parse().ok().zip(last.parse().ok()),
        None => text.parse().ok().map(|port: u16| (port, port)),
    };
    if let Some((first, last)) = numbers.filter(|(first, last)| first <= last) {
        return Ok(Wanted::Port(None, first, last));
    }
    match text.parse::<PortSpec>() {
        Ok(spec) => Ok(Wanted::Port(Some(spec), 0, 0)),
        Err(error) => Err(FilterError::new(error.message, error.help)),
    }
}

/// A block, or one address.
fn cidr(text: &str) -> Result<IpNet, FilterError> {
    let address = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
    text.parse::<IpNet>().ok().or_else(address).ok_or_else(|| {
        FilterError::new(
            format!("`{}` is not a CIDR block", shown(text)),
            "for example `10.0.0.0/8` or `fd00::/8`",
        )
    })
}

fn has_port(record: &FlowRecord, spec: Option<&PortSpec>, first: u16, last: u16) -> bool {
    let ports = [record.source.port, record.destination.port];
    let within = |first: u16, last: u16| ports.iter().flatten().any(|port| (first..=last).contains(port));
    let protocol = |number: u8| record.protocol.as_deref() == Some(&*PortSpec::Protocol(number).to_string());
    match spec.copied() {
        None => within(first, last),
        Some(PortSpec::Any) => true,
        Some(PortSpec::Protocol(number)) => protocol(number),
        Some(PortSpec::Ports { protocol: number, first, last }) => protocol(number) && within(first, last),
        Some(PortSpec::Icmp { protocol: number, kind, code }) => {
            let message =
                |icmp: crate::protocol::Icmp| icmp.kind == kind && code.is_none_or(|code| icmp.code == code);
            protocol(number) && record.icmp.is_some_and(message)
        }
    }
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

/// All tests of somebody who wants records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    tests: Vec<Test>,
}

impl Filter {
    /// With these tests.
    pub fn new(tests: Vec<Test>) -> Result<Self, FilterError> {
        if tests.len() > MOST {
            let message = format!("a filter has at most {MOST} tests, and this one has {}", tests.len());
            return Err(FilterError::new(message, "name broader ones"));
        }
        Ok(Self { tests })
    }

    /// Whether there is no test.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether a record passes.
    #[must_use]
    pub fn wants(&self, record: &FlowRecord) -> bool {
        let (unwanted, wanted): (Vec<&Test>, Vec<&Test>) = self.tests.iter().partition(|test| test.not);
        Kind::ALL.iter().all(|kind| {
            let mut of_kind = wanted.iter().filter(|test| test.kind == *kind).peekable();
            of_kind.peek().is_none() || of_kind.any(|test| test.matches(record))
        }) && !unwanted.iter().any(|test| test.matches(record))
    }

    /// Tampering concerns whoever observes verdicts, whatever the verdicts; with workloads asked for, not that of others' interfaces.
    #[must_use]
    pub fn wants_tamper(&self, record: &TamperRecord) -> bool {
        record.workload.is_none() || self.names(record.workload.as_deref())
    }

    /// Whether it asks for this workload by name, or for none at all.
    #[must_use]
    pub fn names(&self, workload: Option<&str>) -> bool {
        let mut named = self.tests.iter().filter(|test| test.kind == Kind::Workload && !test.not).peekable();
        named.peek().is_none() || named.any(|test| Some(&*test.text) == workload)
    }

    /// Reads words as they are typed: `verdict=denied not port=udp/53`.
    pub fn typed(text: &str) -> Result<Self, FilterError> {
        let (mut tests, mut not) = (Vec::new(), false);
        for word in text.split_whitespace() {
            if word == "not" {
                not = true;
                continue;
            }
            let help = "for example `verdict=denied not port=udp/53`";
            let Some((kind, value)) = word.split_once('=') else {
                return Err(FilterError::new(format!("`{}` is no test", shown(word)), help));
            };
            let Some(kind) = Kind::ALL.into_iter().find(|known| known.word() == kind) else {
                let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
                let help = format!("known: {}", known.join(", "));
                return Err(FilterError::new(format!("nothing is known as `{}`", shown(kind)), help));
            };
            tests.push(Test::parse(kind, std::mem::take(&mut not), value)?);
        }
        Self::new(tests)
    }
}

impl fmt::Display for Filter {
    /// As [`Filter::typed`] reads it, safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, test) in self.tests.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            let not = if test.not { "not " } else { "" };
            write!(f, "{space}{not}{}={}", test.kind.word(), shown(&test.text))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

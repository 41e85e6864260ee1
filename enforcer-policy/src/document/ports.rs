//! `ports` entries: `tcp/443`, `udp/8000-8100`, `icmp/echo-request`, `proto/47`, `any`.

use super::icmp;
use super::reader::Reader;
use crate::diagnostic::{did_you_mean, shown};
use crate::model::PortSpec;
use crate::yaml::Node;
use std::fmt;
use std::str::FromStr;

const PROTOCOLS: [(&str, u8); 5] = [("tcp", 6), ("udp", 17), ("sctp", 132), ("icmp", 1), ("icmpv6", 58)];
const EXAMPLES: &str = "for example `tcp/443`, `udp/8000-8100`, `icmp/echo-request`, `proto/47` or `any`";

/// Why a text is no [`PortSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: String,
}

/// A non-empty `ports` list.
pub(super) fn ports(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<PortSpec>> {
    let items = reader.list(
        node,
        "ports",
        "nothing here never means everything; for every port, write `ports: [any]`",
    )?;
    let ports: Vec<PortSpec> =
        items.iter().filter_map(|item| port(reader, item, "an entry of `ports`")).collect();
    (ports.len() == items.len()).then_some(ports)
}

/// One entry.
pub(super) fn port(reader: &mut Reader<'_>, node: &Node<'_>, what: &str) -> Option<PortSpec> {
    // A bare number is read as well, only to say what is missing from it.
    let text = match node.text() {
        Some(text) if !node.is_null() => text,
        _ => reader.text(node, what)?,
    };
    match text.parse() {
        Ok(port) => Some(port),
        Err(PortError { message, help }) => {
            reader.error_help(node.span, message, help);
            None
        }
    }
}

impl FromStr for PortSpec {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let (name, rest) = match text.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        if name == "proto" {
            return protocol_number(text, rest);
        }
        let Some((_, protocol)) = PROTOCOLS.iter().find(|(word, _)| *word == name) else {
            return Err(unknown_protocol(text, name, rest));
        };
        match (*protocol, rest) {
            (protocol, None) => Ok(Self::Protocol(protocol)),
            (protocol @ (1 | 58), Some(rest)) => icmp_message(text, name, protocol, rest),
            (protocol, Some(rest)) => port_range(text, name, protocol, rest),
        }
    }
}

impl fmt::Display for PortSpec {
    /// The form that parses back: the name of a protocol and of an ICMP message that have one, else numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, number: u8| match PROTOCOLS
            .iter()
            .find(|(_, protocol)| *protocol == number)
        {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "proto/{number}"),
        };
        match *self {
            Self::Any => f.write_str("any"),
            Self::Protocol(protocol) => named(f, protocol),
            Self::Ports { protocol, first, last } => {
                named(f, protocol)?;
                if first == last { write!(f, "/{first}") } else { write!(f, "/{first}-{last}") }
            }
            Self::Icmp { protocol, kind, code } => {
                named(f, protocol)?;
                let name = |code| {
                    icmp::names(protocol)
                        .iter()
                        .find(|(_, a, b)| (*a, *b) == (kind, code))
                        .map(|(name, ..)| name)
                };
                match (name(code), name(None), code) {
                    (Some(name), ..) | (None, Some(name), None) => write!(f, "/{name}"),
                    (None, Some(name), Some(code)) => write!(f, "/{name}/{code}"),
                    (None, None, Some(code)) => write!(f, "/{kind}/{code}"),
                    (None, None, None) => write!(f, "/{kind}"),
                }
            }
        }
    }
}

fn error(message: String, help: impl Into<String>) -> PortError {
    PortError { message, help: help.into() }
}

/// A number in decimal digits, without sign or leading zero.
fn number(text: &str) -> Option<u32> {
    let canonical = text.len() <= 9
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn protocol_number(text: &str, rest: Option<&str>) -> Result<PortSpec, PortError> {
    match rest.and_then(number).map(u8::try_from) {
        Some(Ok(protocol)) => Ok(PortSpec::Protocol(protocol)),
        Some(Err(_)) => Err(error(
            format!("`{}`: there is no such protocol number", shown(text)),
            "protocol numbers go from 0 to 255",
        )),
        None => Err(error(
            format!("`{}` is not a protocol number", shown(text)),
            "for example `proto/47`; `any` is every protocol that carries no other flow inside",
        )),
    }
}

fn port_range(text: &str, name: &str, protocol: u8, rest: &str) -> Result<PortSpec, PortError> {
    let (first, last) = rest.split_once('-').unwrap_or((rest, rest));
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        let help = if rest.contains(',') {
            "one entry holds one port or one range; write several entries".to_owned()
        } else {
            format!("for example `{name}/443` or `{name}/8000-8100`, or `{name}` for all its ports")
        };
        return Err(error(format!("`{}` is not a port or a range of ports", shown(text)), help));
    };
    let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(last)) else {
        return Err(error(format!("`{}`: there is no such port", shown(text)), "ports go from 0 to 65535"));
    };
    if first > last {
        let help = format!("write `{name}/{last}-{first}`");
        return Err(error(format!("the range `{}` runs backwards", shown(text)), help));
    }
    Ok(PortSpec::Ports { protocol, first, last })
}

fn icmp_message(text: &str, name: &str, protocol: u8, rest: &str) -> Result<PortSpec, PortError> {
    let (kind, code) = match rest.split_once('/') {
        Some((kind, code)) => (kind, Some(code)),
        None => (rest, None),
    };
    let names = icmp::names(protocol);
    let (kind, named_code) = if let Some((_, kind, code)) = names.iter().find(|(word, ..)| *word == kind) {
        (*kind, *code)
    } else if let Some(Ok(kind)) = number(kind).map(u8::try_from) {
        (kind, None)
    } else {
        let help = match did_you_mean(kind, names.iter().map(|(word, ..)| *word)) {
            Some(near) => format!("did you mean `{name}/{near}`?"),
            None => format!("a name such as `{name}/echo-request`, or numbers: `{name}/3`, `{name}/3/4`"),
        };
        return Err(error(format!("`{}`: no such {name} message is known", shown(text)), help));
    };
    let written = match code.map(|code| number(code).map(u8::try_from)) {
        None => None,
        Some(Some(Ok(code))) => Some(code),
        Some(_) => {
            let message = format!("`{}` is not an {name} type and code", shown(text));
            return Err(error(message, format!("codes are numbers from 0 to 255: `{name}/3/4`")));
        }
    };
    if let (Some(_), Some(own)) = (written, named_code) {
        let message = format!("`{}` gives a code twice", shown(text));
        return Err(error(message, format!("the name already means `{name}/{kind}/{own}`")));
    }
    Ok(PortSpec::Icmp { protocol, kind, code: written.or(named_code) })
}

fn unknown_protocol(text: &str, name: &str, rest: Option<&str>) -> PortError {
    if let Some(port) = number(name) {
        return match rest {
            Some(rest) if PROTOCOLS.iter().any(|(word, _)| *word == rest) => error(
                format!("`{}` is not a `ports` entry", shown(text)),
                format!("the protocol comes first: `{rest}/{port}`"),
            ),
            _ if port > 65535 => {
                error(format!("`{}`: there is no such port", shown(text)), "ports go from 0 to 65535")
            }
            _ => error(
                format!("`{}` does not say which protocol", shown(text)),
                format!("write `tcp/{port}` or `udp/{port}`"),
            ),
        };
    }
    let lower =
        text.to_ascii_lowercase().replace(':', "/").replace("icmp6", "icmpv6").replace("icmp-v6", "icmpv6");
    let help = if lower != text && lower.parse::<PortSpec>().is_ok() {
        format!("write `{lower}`")
    } else {
        EXAMPLES.to_owned()
    };
    error(format!("`{}` is not a `ports` entry", shown(text)), help)
}

#[cfg(test)]
mod tests {
    use crate::model::PortSpec;

    #[test]
    fn written_forms() {
        let ports = |protocol, first, last| PortSpec::Ports { protocol, first, last };
        let icmp = |protocol, kind, code| PortSpec::Icmp { protocol, kind, code };
        for (text, expected, canonical) in [
            ("any", PortSpec::Any, "any"),
            ("tcp", PortSpec::Protocol(6), "tcp"),
            ("tcp/443", ports(6, 443, 443), "tcp/443"),
            ("udp/8000-8100", ports(17, 8000, 8100), "udp/8000-8100"),
            ("sctp/38412", ports(132, 38412, 38412), "sctp/38412"),
            ("tcp/0-65535", ports(6, 0, 65535), "tcp/0-65535"),
            ("icmp", PortSpec::Protocol(1), "icmp"),
            ("icmp/echo-request", icmp(1, 8, None), "icmp/echo-request"),
            ("icmp/8/0", icmp(1, 8, Some(0)), "icmp/echo-request/0"),
            ("icmp/250/3", icmp(1, 250, Some(3)), "icmp/250/3"),
            ("icmp/3/4", icmp(1, 3, Some(4)), "icmp/fragmentation-needed"),
            ("icmp/fragmentation-needed", icmp(1, 3, Some(4)), "icmp/fragmentation-needed"),
            ("icmp/destination-unreachable/4", icmp(1, 3, Some(4)), "icmp/fragmentation-needed"),
            ("icmpv6/echo-request", icmp(58, 128, None), "icmpv6/echo-request"),
            ("icmpv6/neighbour-solicitation", icmp(58, 135, None), "icmpv6/neighbour-solicitation"),
            ("proto/47", PortSpec::Protocol(47), "proto/47"),
            ("proto/6", PortSpec::Protocol(6), "tcp"),
            ("proto/0", PortSpec::Protocol(0), "proto/0"),
        ] {
            let spec: PortSpec = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(spec, expected, "{text}");
            assert_eq!(spec.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse(), Ok(expected), "{canonical}");
        }
    }

    #[test]
    fn what_is_no_entry_and_why() {
        for (text, help) in [
            ("443", "write `tcp/443` or `udp/443`"),
            ("443/tcp", "the protocol comes first: `tcp/443`"),
            ("TCP/443", "write `tcp/443`"),
            ("tcp:443", "write `tcp/443`"),
            ("icmp6/echo-request", "write `icmpv6/echo-request`"),
            ("tcp/65536", "ports go from 0 to 65535"),
            ("65536", "ports go from 0 to 65535"),
            ("tcp/100-1", "write `tcp/1-100`"),
            ("tcp/80,443", "one entry holds one port or one range; write several entries"),
            ("tcp/", "for example `tcp/443` or `tcp/8000-8100`, or `tcp` for all its ports"),
            ("tcp/0443", "for example `tcp/443` or `tcp/8000-8100`, or `tcp` for all its ports"),
            ("tcp/https", "for example `tcp/443` or `tcp/8000-8100`, or `tcp` for all its ports"),
            ("icmp/echo-requst", "did you mean `icmp/echo-request`?"),
            ("icmp/256", "a name such as `icmp/echo-request`, or numbers: `icmp/3`, `icmp/3/4`"),
            ("icmp/3/256", "codes are numbers from 0 to 255: `icmp/3/4`"),
            ("icmp/port-unreachable/3", "the name already means `icmp/3/3`"),
            ("proto/256", "protocol numbers go from 0 to 255"),
            ("proto", "for example `proto/47`; `any` is every protocol that carries no other flow inside"),
            ("gre", super::EXAMPLES),
            ("", super::EXAMPLES),
        ] {
            let error = text.parse::<PortSpec>().expect_err(text);
            assert_eq!(error.help, help, "{text}");
        }
    }
}

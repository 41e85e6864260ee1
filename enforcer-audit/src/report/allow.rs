//! The rule that would allow a flow, ready to be pasted into a FlowPolicy.

use super::Identity;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Addresses of the world that are named one by one.
const NAMED: usize = 4;

/// An entry of `flows`. `addresses` are those of the ends that have no labels; `more` says that there are others.
pub(super) fn entry(
    source: (&Identity, &[IpAddr]),
    destination: (&Identity, &[IpAddr]),
    port: &str,
    more: bool,
) -> Option<String> {
    let (from, to) = (side(source.0, source.1, more)?, side(destination.0, destination.1, more)?);
    Some(format!("- {{from: [{from}], to: [{to}], ports: [{port}]}}"))
}

/// A selector that means an identity.
fn side(identity: &Identity, addresses: &[IpAddr], more: bool) -> Option<String> {
    if !identity.labels.is_empty() {
        let pairs: Vec<String> = identity
            .labels
            .iter()
            .map(|(key, value)| format!("{}: {}", scalar(key), scalar(value)))
            .collect();
        return Some(format!("{{labels: {{{}}}}}", pairs.join(", ")));
    }
    match identity.kind {
        "host" => Some("{entity: host}".to_owned()),
        "world" if more || addresses.len() > NAMED => Some("{entity: world}".to_owned()),
        "world" | "multicast" if !addresses.is_empty() => {
            let blocks: Vec<String> = addresses
                .iter()
                .map(|at| format!("\"{at}/{}\"", if at.is_ipv4() { 32 } else { 128 }))
                .collect();
            Some(format!("{{cidr: [{}]}}", blocks.join(", ")))
        }
        _ => None,
    }
}

/// A label as YAML: bare where nobody could take it for something else, else quoted with everything escaped that isn't plain.
pub(crate) fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let lettered = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if lettered && text.chars().all(plain) && !word.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c => {
                // Writing to a string doesn't fail.
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_yaml_would_read_them_otherwise() {
        for (text, expected) in [
            ("checkout", "checkout"),
            ("k8s.io/name", "k8s.io/name"),
            ("no", "\"no\""),
            ("1.10", "\"1.10\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("q\"\\", "\"q\\\"\\\\\""),
            ("\u{1b}[2J\u{202e}", "\"\\U0000001b[2J\\U0000202e\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
